"""How late flights arrive, by month, carrier, route and hour of the scheduled departure.

The rows are made by `spark_jobs/mapreduce/route_delay_statistics.py`, whose columns these are. Every
statistic is a whole number and adds up over rows: mean and variance follow from the sums, quantiles from the
bins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from millstream.transforms import column

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# Each bin's name says its upper end, which is part of it; it begins behind the end of the one before.
LATE_BINS = ("arrivals_to_30_min", "arrivals_to_60_min", "arrivals_to_120_min", "arrivals_after_120_min")
BINS = (
    "arrivals_to_minus_30_min",
    "arrivals_to_minus_15_min",
    "arrivals_to_0_min",
    "arrivals_to_15_min",
    *LATE_BINS,
)

SCHEMA = StructType(
    [
        column("month", "string", "Month of the scheduled departure, YYYY-MM (partition)", key=True),
        column("carrier", "string", "IATA carrier code", key=True),
        column("origin", "string", "FAA code of the airport of departure", key=True),
        column("dest", "string", "FAA code of the airport of destination", key=True),
        column("hour", "int", "Local hour of the scheduled departure, 0-23", key=True),
        column("flights", "bigint", "Scheduled flights"),
        column("arrivals", "bigint", "Those of them that arrived"),
        column("delay_sum_min", "bigint", "Sum of their arrival delays, minutes; negative is early"),
        column("delay_squares_min2", "bigint", "Sum of the squares of these delays, minutes squared"),
        column("late_arrivals", "bigint", "Arrivals more than 15 minutes late"),
        column("arrivals_to_minus_30_min", "bigint", "Arrivals 30 minutes early or more"),
        column("arrivals_to_minus_15_min", "bigint", "Arrivals 15 to 29 minutes early"),
        column("arrivals_to_0_min", "bigint", "Arrivals up to 14 minutes early, or on time"),
        column("arrivals_to_15_min", "bigint", "Arrivals 1 to 15 minutes late"),
        column("arrivals_to_30_min", "bigint", "Arrivals 16 to 30 minutes late"),
        column("arrivals_to_60_min", "bigint", "Arrivals 31 to 60 minutes late"),
        column("arrivals_to_120_min", "bigint", "Arrivals 61 to 120 minutes late"),
        column("arrivals_after_120_min", "bigint", "Arrivals more than 120 minutes late"),
    ]
)
KEY = ("month", "carrier", "origin", "dest", "hour")
CHECKS = {
    "arrivals_are_flights": "arrivals BETWEEN 0 AND flights",
    "bins_add_up_to_arrivals": f"{' + '.join(BINS)} = arrivals",
    "late_bins_add_up_to_late_arrivals": f"{' + '.join(LATE_BINS)} = late_arrivals",
}


def lines(silver: dict[str, DataFrame]) -> DataFrame:
    """What the job reads: a flight a line, tabs between the columns, the delay in whole minutes and empty
    for a flight that did not arrive. A flight without destination or time becomes a line that the job
    refuses.

    Args:
        silver: has "flights".
    """
    delay = F.round("arr_delay_min").cast("bigint")
    columns = [F.col("month"), F.col("carrier"), F.col("origin"), F.col("dest"), F.hour("sched_dep_local")]
    texts = [F.coalesce(value.cast("string"), F.lit("")) for value in (*columns, delay)]
    return silver["flights"].select(F.concat_ws("\t", *texts).alias("value"))
