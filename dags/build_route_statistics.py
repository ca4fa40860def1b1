from millstream_airflow.pipelines.features import features_dag

dag = features_dag("build_route_statistics", "route_delay_statistics")
