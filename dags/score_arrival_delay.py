from millstream_airflow.pipelines.models import score_dag

dag = score_dag("arrival_delay")
