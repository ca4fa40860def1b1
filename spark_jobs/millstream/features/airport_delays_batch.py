"""Delays by airport, carrier and hour, all groups anew: the batch view beside that of the stream."""

from millstream.features import FeatureTable

TABLE = FeatureTable(
    name="airport_delays_batch",
    inputs=("silver.flight_events",),
    partition_column=None,
    position_column="as_of",
)
