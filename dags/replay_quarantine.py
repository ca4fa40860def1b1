from millstream_airflow.pipelines.replay import replay_dag

dag = replay_dag()
