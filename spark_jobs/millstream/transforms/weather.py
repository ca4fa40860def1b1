"""Weather: hourly observations at the airports of departure.

The key is the source's own: airport and local hour. When daylight saving time ended on 2013-11-03, hour 1
came twice, so each of the three airports has two observations under one key: the first in file order is
published, the second counts as deduplicated. To keep both, change `primary_key` in the contract to [origin,
time_hour] and delete `KEY` here; then raise the contract's version and run a full refresh.
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from millstream.transforms import column

SCHEMA = (
    "origin",
    column("observed_local", "timestamp_ntz", "Hour of the observation, local wall clock"),
    "observed_utc",
    "temp_f",
    "dewp_f",
    "humid_pct",
    "wind_dir_deg",
    "wind_speed_mph",
    "wind_gust_mph",
    "precip_in",
    "pressure_mb",
    "visib_mi",
)
KEY = ("origin", "observed_local")


def transform(rows: DataFrame) -> DataFrame:
    hour = F.try_make_timestamp_ntz("year", "month", "day", "hour", F.lit(0), F.lit(0))
    return rows.withColumn("observed_local", hour)
