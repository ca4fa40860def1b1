from millstream_airflow.pipelines.features import features_dag

dag = features_dag("build_features", "arrival_delay_features")
