from millstream_airflow.pipelines.models import score_dag

dag = score_dag("big_data_text")
