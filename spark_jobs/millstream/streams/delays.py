"""What the live page shows of delays: sums over the last hours of events that there are."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from millstream.transforms.airport_delays_batch import FIGURES


def latest(figures: DataFrame, hours: int = 24) -> DataFrame:
    """The rows of a view of delays of the last `hours` that there are."""
    # As text, which the session's time zone reads again; a moment would be read by the client's.
    newest = figures.agg(F.max("hour").cast("string").alias("newest")).collect()[0]["newest"]
    since = F.lit(newest).cast("timestamp") - F.expr(f"INTERVAL {hours} HOURS")
    return figures.where(F.col("hour") > since)


def by_carrier(figures: DataFrame) -> DataFrame:
    """The sums of the figures by airport and carrier."""
    return figures.groupBy("airport", "carrier").agg(*_sums())


def by_hour(figures: DataFrame) -> DataFrame:
    """The sums of the figures by airport and hour; the hour as text, `YYYY-MM-DD HH:MM:SS`, UTC."""
    return figures.groupBy("airport", F.col("hour").cast("string").alias("hour")).agg(*_sums())


def _sums() -> list[Column]:
    return [F.sum(name).alias(name) for name in FIGURES]
