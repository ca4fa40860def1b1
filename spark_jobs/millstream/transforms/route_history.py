"""Features of a flight out of `gold.route_delay_statistics`: how earlier months went on its route.

A month counts for a flight once all of its flights have landed: it must lie before the month of the day
`SETTLED_DAYS` before the flight. So it is never the flight's own month or a later one, and on the first days
of a month not the one just ended either.

Shares and delays are those of the route minus those of all flights of the same months, so they do not tell
the season. What has few arrivals is drawn to the average: `PRIOR_ARRIVALS` average ones are added to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import Column, Window
from pyspark.sql import functions as F

from millstream.transforms import column

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# The longest delay of 2013 is a day, and a flight takes less than another.
SETTLED_DAYS = 2
PRIOR_ARRIVALS = 20

COLUMNS = (
    column(
        "route_late_share",
        "double",
        "Share of late arrivals of the carrier on the route in earlier months, minus that of all flights",
    ),
    column(
        "route_hour_late_share",
        "double",
        "The same of departures scheduled in the same hour, drawn to that of the route",
    ),
    column(
        "route_delay_min",
        "double",
        "Mean arrival delay of the carrier on the route in these months, minus that of all flights, minutes",
    ),
)

_ROUTE = ("carrier", "origin", "dest")
_SUMS = ("arrivals", "late_arrivals", "delay_sum_min")


def with_route_history(rows: DataFrame, flights: DataFrame, statistics: DataFrame) -> DataFrame:
    """`rows` with `COLUMNS`; null where no earlier month is known.

    Args:
        rows: the flights, with `flight_date`, `carrier`, `origin`, `dest` and `sched_hour`.
        flights: the same without the features of other kinds: a plan that used `rows` twice would double.
        statistics: the table.
    """
    asked = flights.select(*_ROUTE, F.col("sched_hour").alias("hour"), _asks().alias("_month")).distinct()
    known = statistics.withColumn("_month", _number(F.col("month")))
    history = asked
    for level, keys in (("hour", (*_ROUTE, "hour")), ("route", _ROUTE), ("all", ())):
        earlier = _earlier(asked.select(*keys, "_month").distinct(), known, keys, level)
        history = history.join(F.broadcast(earlier), [*keys, "_month"], "left")
    # Carriers times routes times hours times months: small whatever the number of flights.
    features = history.select(*_ROUTE, F.col("hour").alias("sched_hour"), "_month", *_features())
    shared = [*_ROUTE, "sched_hour", "_month"]
    return rows.withColumn("_month", _asks()).join(F.broadcast(features), shared, "left").drop("_month")


def _number(month: Column) -> Column:
    """Months in a row, from YYYY-MM."""
    return F.substring(month, 1, 4).cast("int") * 12 + F.substring(month, 6, 2).cast("int")


def _asks() -> Column:
    """The number of the month that a flight asks the months before of."""
    settled = F.date_sub("flight_date", SETTLED_DAYS)
    return F.year(settled) * 12 + F.month(settled)


def _earlier(asked: DataFrame, known: DataFrame, keys: tuple[str, ...], level: str) -> DataFrame:
    """For what is asked the sums of all months before, as `_<level>_<sum>`."""
    before = Window.partitionBy(*keys).orderBy("_month").rangeBetween(Window.unboundedPreceding, -1)
    months = known.groupBy(*keys, "_month").agg(*[F.sum(name).alias(name) for name in _SUMS])
    sums = [F.coalesce(F.sum(name).over(before), F.lit(0)).alias(f"_{level}_{name}") for name in _SUMS]
    return (
        asked.withColumn("_asked", F.lit(True))
        .unionByName(months, allowMissingColumns=True)
        .select(*keys, "_month", "_asked", *sums)
        .where("_asked")
        .drop("_asked")
    )


def _features() -> list[Column]:
    late = F.try_divide("_all_late_arrivals", "_all_arrivals")
    delay = F.try_divide("_all_delay_sum_min", "_all_arrivals")
    route_late = _drawn("_route_late_arrivals", "_route_arrivals", late)
    made = (
        route_late - late,
        _drawn("_hour_late_arrivals", "_hour_arrivals", route_late) - late,
        _drawn("_route_delay_sum_min", "_route_arrivals", delay) - delay,
    )
    return [value.alias(field.name) for value, field in zip(made, COLUMNS, strict=True)]


def _drawn(total: str, number: str, average: Column) -> Column:
    return (F.col(total) + PRIOR_ARRIVALS * average) / (F.col(number) + PRIOR_ARRIVALS)
