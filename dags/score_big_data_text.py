from millstream_airflow.model_dags import score_dag

dag = score_dag("big_data_text")
