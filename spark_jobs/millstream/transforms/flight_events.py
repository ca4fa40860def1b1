"""Flight events: what was announced of each flight, and what happened to it, as it happened."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from millstream.transforms import column

SCHEMA = (
    "event_id",
    "event_time",
    "schema_version",
    "event_type",
    column("flight_date", "date", "Local date of the scheduled departure"),
    "carrier",
    "flight",
    "origin",
    "dest",
    "tailnum",
    "sched_dep_time",
    "sched_arr_time",
    "distance_mi",
    "dep_time",
    "dep_delay_min",
    "arr_time",
    "arr_delay_min",
    "air_time_min",
)


def transform(rows: DataFrame) -> DataFrame:
    midnight = F.try_make_timestamp_ntz("year", "month", "day", F.lit(0), F.lit(0), F.lit(0))
    return rows.withColumn("flight_date", midnight.cast("date"))
