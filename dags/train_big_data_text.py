from millstream_airflow.pipelines.models import train_dag

dag = train_dag("big_data_text")
