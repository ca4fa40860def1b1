from millstream_airflow.model_dags import score_dag

dag = score_dag("arrival_delay")
