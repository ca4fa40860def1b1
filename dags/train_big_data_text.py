from millstream_airflow.model_dags import train_dag

dag = train_dag("big_data_text")
