from millstream_airflow.replaying import replay_dag

dag = replay_dag()
