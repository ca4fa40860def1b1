"""Flights: every scheduled departure from New York's airports, with its delays.

Arrivals stay on the destination's clock: their UTC time needs the time zone of `silver.airports`, and a
transform to silver sees one dataset. `arrival_delay_features` derives it, with both tables at pinned
versions.
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from millstream.transforms import column

# All three airports of departure share this zone.
ORIGIN_ZONE = "America/New_York"

SCHEMA = (
    column("month", "string", "Month of the scheduled departure, YYYY-MM (partition)"),
    column("flight_date", "date", "Local date of the scheduled departure"),
    "carrier",
    "flight",
    "tailnum",
    "origin",
    "dest",
    column("sched_dep_local", "timestamp_ntz", "Scheduled departure, local wall clock"),
    column("sched_dep_utc", "timestamp", "Scheduled departure, UTC"),
    "sched_arr_time",
    column("dep_utc", "timestamp", "Departure, UTC; null when cancelled"),
    "dep_delay_min",
    "arr_time",
    "arr_delay_min",
    "air_time_min",
    "distance_mi",
    column("cancelled", "boolean", "True when the flight never departed"),
)
KEY = ("flight_date", "carrier", "flight", "origin")


def transform(rows: DataFrame) -> DataFrame:
    scheduled = F.try_make_timestamp_ntz("year", "month", "day", "hour", "minute", F.lit(0))
    midnight = F.try_make_timestamp_ntz("year", "month", "day", F.lit(0), F.lit(0), F.lit(0))
    flight_date = midnight.cast("date")
    scheduled_utc = F.convert_timezone(F.lit(ORIGIN_ZONE), F.lit("UTC"), scheduled).cast("timestamp")
    return rows.withColumns(
        {
            "month": F.date_format(flight_date, "yyyy-MM"),
            "flight_date": flight_date,
            "sched_dep_local": scheduled,
            "sched_dep_utc": scheduled_utc,
            "dep_utc": F.timestamp_seconds(F.unix_seconds(scheduled_utc) + F.col("dep_delay_min") * 60),
            "cancelled": F.col("dep_time").isNull(),
        }
    )
