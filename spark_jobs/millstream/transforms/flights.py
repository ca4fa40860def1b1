"""Flights: every scheduled departure from New York's airports, with its delays.

Arrivals stay on the destination's clock: their UTC time needs the time zone of `silver.airports`, and a
transform to silver sees one dataset. `arrival_delay_features` derives it, with both tables at pinned
versions.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from millstream.transforms import KEPT, Reference, column

# All three airports of departure share this zone.
ORIGIN_ZONE = "America/New_York"

SCHEMA = StructType(
    [
        column("month", "string", "Month of the scheduled departure, YYYY-MM (partition)", key=True),
        column("flight_date", "date", "Local date of the scheduled departure", key=True),
        column("carrier", "string", "IATA carrier code", key=True),
        column("flight", "int", "Flight number", key=True),
        column("tailnum", "string", "Tail number of the plane"),
        column("origin", "string", "FAA code of the airport of departure", key=True),
        column("dest", "string", "FAA code of the airport of destination"),
        column("sched_dep_local", "timestamp_ntz", "Scheduled departure, local wall clock"),
        column("sched_dep_utc", "timestamp", "Scheduled departure, UTC"),
        column("sched_arr_time", "int", "Scheduled arrival, local wall clock at the destination, HHMM"),
        column("dep_utc", "timestamp", "Departure, UTC; null when cancelled"),
        column("dep_delay_min", "double", "Departure delay, minutes; negative is early"),
        # Its UTC time needs the destination's zone, which is another dataset's: gold has it.
        column("arr_time", "int", "Arrival, local wall clock at the destination, HHMM; null without one"),
        column("arr_delay_min", "double", "Arrival delay, minutes; negative is early"),
        column("air_time_min", "double", "Time in the air, minutes"),
        column("distance_mi", "double", "Distance between the airports, miles"),
        column("cancelled", "boolean", "True when the flight never departed"),
    ]
)
KEY = ("flight_date", "carrier", "flight", "origin")
REFERENCES: dict[str, Reference] = {
    "_ref_plane": ("tailnum", "silver.planes", "tailnum"),
    "_ref_origin": ("origin", "silver.airports", "faa"),
    "_ref_dest": ("dest", "silver.airports", "faa"),
    "_ref_airline": ("carrier", "silver.airlines", "carrier"),
}
CHECKS = {"month_is_the_flight_dates": "month = date_format(flight_date, 'yyyy-MM')"}


def transform(rows: DataFrame) -> DataFrame:
    scheduled = F.try_make_timestamp_ntz("year", "month", "day", "hour", "minute", F.lit(0))
    midnight = F.try_make_timestamp_ntz("year", "month", "day", F.lit(0), F.lit(0), F.lit(0))
    flight_date = midnight.cast("date")
    scheduled_utc = F.convert_timezone(F.lit(ORIGIN_ZONE), F.lit("UTC"), scheduled).cast("timestamp")
    departed = _plus_minutes(scheduled_utc, F.col("dep_delay"))
    return rows.select(
        F.date_format(flight_date, "yyyy-MM").alias("month"),
        flight_date.alias("flight_date"),
        "carrier",
        "flight",
        "tailnum",
        "origin",
        "dest",
        scheduled.alias("sched_dep_local"),
        scheduled_utc.alias("sched_dep_utc"),
        F.col("sched_arr_time"),
        departed.alias("dep_utc"),
        F.col("dep_delay").alias("dep_delay_min"),
        "arr_time",
        F.col("arr_delay").alias("arr_delay_min"),
        F.col("air_time").alias("air_time_min"),
        F.col("distance").alias("distance_mi"),
        F.col("dep_time").isNull().alias("cancelled"),
        *KEPT,
    )


def _plus_minutes(moment: Column, minutes: Column) -> Column:
    return F.timestamp_seconds(F.unix_seconds(moment) + minutes * 60)
