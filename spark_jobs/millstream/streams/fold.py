"""The events of a flight folded into the row that a delivery of its month has of it."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from millstream.bronze.typed import DRIFT, MARK
from millstream.transforms import table_of

NOT_ANNOUNCED = "event_type: no event says that it was scheduled"


def fold(events: DataFrame) -> DataFrame:
    """Rows of `silver.flights`, by its own transform, from rows of `silver.flight_events`.

    Of several events of one type the newest counts. A flight that no event has announced is malformed, for
    the suite to keep apart. `_source_row_id` is that of the flight's newest event.
    """
    types = ("scheduled", "departed", "arrived", "cancelled")
    newest = {name: F.max(F.when(F.col("event_type") == name, _event())).alias(name) for name in types}
    folded = events.groupBy("flight_date", "carrier", "flight", "origin").agg(
        *newest.values(), F.max(F.struct("event_time", "event_id", "_source_row_id")).alias("last")
    )
    announced = F.col("scheduled").isNotNull()
    delivered = folded.select(
        F.year("flight_date").alias("year"),
        F.month("flight_date").alias("month"),
        F.day("flight_date").alias("day"),
        "carrier",
        "flight",
        "origin",
        *(F.col(f"scheduled.{name}") for name in ("dest", "tailnum", "sched_dep_time", "sched_arr_time")),
        F.col("scheduled.distance_mi").alias("distance"),
        F.expr("scheduled.sched_dep_time div 100").cast("int").alias("hour"),
        (F.col("scheduled.sched_dep_time") % 100).alias("minute"),
        F.col("departed.dep_time"),
        F.col("departed.dep_delay_min").alias("dep_delay"),
        F.col("arrived.arr_time"),
        F.col("arrived.arr_delay_min").alias("arr_delay"),
        F.col("arrived.air_time_min").alias("air_time"),
        F.col("last._source_row_id"),
        F.when(announced, F.array().cast("array<string>"))
        .otherwise(F.array(F.lit(NOT_ANNOUNCED)))
        .alias("_malformed"),
        F.lit(None).cast("string").alias("_source_record"),
        F.lit(False).alias("_deleted"),
        F.array().cast(f"array<{MARK}>").alias(DRIFT),
    )
    return table_of("flights").rows(delivered)


def _event() -> Column:
    """An event's fields, ordered by its time, then by its id."""
    fields = (
        *("dest", "tailnum", "sched_dep_time", "sched_arr_time", "distance_mi"),
        *("dep_time", "dep_delay_min", "arr_time", "arr_delay_min", "air_time_min"),
    )
    return F.struct("event_time", "event_id", *fields)
