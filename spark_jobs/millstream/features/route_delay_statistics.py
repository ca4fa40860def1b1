"""How late the flights of each month, carrier, route and hour of departure have arrived, by MapReduce."""

from millstream.features import FeatureTable, MapReduce

TABLE = FeatureTable(
    name="route_delay_statistics",
    inputs=("silver.flights",),
    partition_column="month",
    mapreduce=MapReduce(job="route_delay_statistics", counts="flights"),
)
