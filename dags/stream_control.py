from millstream_airflow.pipelines.stream_control import stream_control_dag

dag = stream_control_dag()
