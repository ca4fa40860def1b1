"""Flight events: what was announced of each flight, and what happened to it, as it happened."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from millstream.transforms import KEPT, Reference, column

SCHEMA = StructType(
    [
        column("event_id", "string", "Names the event; sent again it is the same", key=True),
        column("event_time", "timestamp", "When it happened, UTC", key=True),
        column("schema_version", "int", "Version of the schema that it was sent with"),
        column("event_type", "string", "scheduled, departed, arrived or cancelled", key=True),
        column("flight_date", "date", "Local date of the scheduled departure", key=True),
        column("carrier", "string", "IATA carrier code", key=True),
        column("flight", "int", "Flight number", key=True),
        column("origin", "string", "FAA code of the airport of departure", key=True),
        column("dest", "string", "FAA code of the airport of destination"),
        column("tailnum", "string", "Tail number of the plane"),
        column("sched_dep_time", "int", "Scheduled departure, local wall clock, HHMM"),
        column("sched_arr_time", "int", "Scheduled arrival, local wall clock at the destination, HHMM"),
        column("distance_mi", "double", "Distance between the airports, miles"),
        column("dep_time", "int", "Departure, local wall clock, HHMM"),
        column("dep_delay_min", "double", "Departure delay, minutes; negative is early"),
        column("arr_time", "int", "Arrival, local wall clock at the destination, HHMM"),
        column("arr_delay_min", "double", "Arrival delay, minutes; negative is early"),
        column("air_time_min", "double", "Time in the air, minutes"),
    ]
)
KEY = ("event_id",)
REFERENCES: dict[str, Reference] = {}
CHECKS: dict[str, str] = {}


def transform(rows: DataFrame) -> DataFrame:
    zero = F.lit(0)
    midnight = F.try_make_timestamp_ntz("year", "month", "day", zero, zero, zero)
    return rows.select(
        "event_id",
        "event_time",
        "schema_version",
        "event_type",
        midnight.cast("date").alias("flight_date"),
        "carrier",
        "flight",
        "origin",
        "dest",
        "tailnum",
        "sched_dep_time",
        "sched_arr_time",
        F.col("distance").alias("distance_mi"),
        "dep_time",
        F.col("dep_delay").alias("dep_delay_min"),
        "arr_time",
        F.col("arr_delay").alias("arr_delay_min"),
        F.col("air_time").alias("air_time_min"),
        *KEPT,
    )
