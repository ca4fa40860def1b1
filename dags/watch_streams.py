from millstream_airflow.pipelines.watch_streams import watch_dag

dag = watch_dag()
