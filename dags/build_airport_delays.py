from millstream_airflow.pipelines.features import features_dag

dag = features_dag("build_airport_delays", "airport_delays_batch")
