from millstream_airflow.pipelines.features import features_dag

dag = features_dag(
    "build_features",
    table="gold.arrival_delay_features",
    inputs=("silver.flights", "silver.weather", "silver.planes", "silver.airports", "silver.airlines"),
    partition_column="month",
)
