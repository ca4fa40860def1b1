"""Delays by airport, carrier and hour: one definition, whatever reads it."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

# As of silver.flights' label: an arrival or departure of more than 15 minutes behind its time.
LATE_MIN = 15
FIGURES = (
    *("scheduled", "cancelled", "departed", "late_departures", "departure_delay_min"),
    *("arrived", "late_arrivals", "arrival_delay_min"),
)


def aggregate(events: DataFrame) -> DataFrame:
    """Figures of `silver.flight_events` by airport of departure, carrier and hour of the event (UTC).

    Columns: airport, carrier, hour (timestamp), then whole numbers that add up: events of each type, those
    more than 15 minutes late, and sums of delays in minutes (negative is early). Ratios are made by who
    reads them. A delay that is not known counts for nothing.
    """
    departures, arrivals = F.col("event_type") == "departed", F.col("event_type") == "arrived"
    left, arrived = F.col("dep_delay_min").cast("bigint"), F.col("arr_delay_min").cast("bigint")
    return events.groupBy(
        F.col("origin").alias("airport"), "carrier", F.date_trunc("hour", "event_time").alias("hour")
    ).agg(
        F.count_if(F.col("event_type") == "scheduled").alias("scheduled"),
        F.count_if(F.col("event_type") == "cancelled").alias("cancelled"),
        F.count_if(departures).alias("departed"),
        F.count_if(departures & (left > LATE_MIN)).alias("late_departures"),
        F.coalesce(F.sum(F.when(departures, left)), F.lit(0)).alias("departure_delay_min"),
        F.count_if(arrivals).alias("arrived"),
        F.count_if(arrivals & (arrived > LATE_MIN)).alias("late_arrivals"),
        F.coalesce(F.sum(F.when(arrivals, arrived)), F.lit(0)).alias("arrival_delay_min"),
    )


def latest(figures: DataFrame, hours: int = 24) -> DataFrame:
    """The sums of `aggregate`'s figures over the last `hours` that there are, by airport and carrier."""
    # As text, which the session's time zone reads again; a moment would be read by the client's.
    newest = figures.agg(F.max("hour").cast("string").alias("newest")).collect()[0]["newest"]
    since = F.lit(newest).cast("timestamp") - F.expr(f"INTERVAL {hours} HOURS")
    sums = (F.sum(name).alias(name) for name in FIGURES)
    return figures.where(F.col("hour") > since).groupBy("airport", "carrier").agg(*sums)
