from millstream_airflow.model_dags import train_dag

dag = train_dag("arrival_delay")
