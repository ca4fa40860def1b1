from millstream_airflow.pipelines.models import train_dag

dag = train_dag("arrival_delay")
