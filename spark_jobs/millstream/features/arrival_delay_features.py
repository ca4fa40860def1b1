"""Features for "will this flight arrive more than 15 minutes late?"; one row a flight."""

from millstream.features import FeatureTable

TABLE = FeatureTable(
    name="arrival_delay_features",
    inputs=(
        "silver.flights",
        "silver.weather",
        "silver.planes",
        "silver.airports",
        "silver.airlines",
        "gold.route_delay_statistics",
    ),
    partition_column="month",
)
