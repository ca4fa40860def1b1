"""Features out of earlier months: what they are, and that no other month shows in them."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from pyspark.sql import DataFrame, Row, SparkSession

from millstream.transforms.route_history import COLUMNS, PRIOR_ARRIVALS, with_route_history
from tests.support.thorough import thorough

pytestmark = pytest.mark.spark

KEY = ("carrier", "origin", "dest", "hour")
MORNING, EVENING = ("UA", "EWR", "IAH", 5), ("UA", "EWR", "IAH", 20)
ELSEWHERE = ("AA", "JFK", "MIA", 5)
# Month, key, arrivals, late of them, sum of delays.
STATISTICS = [
    ("2013-01", *MORNING, 20, 10, 400),
    ("2013-01", *EVENING, 10, 8, 500),
    ("2013-01", *ELSEWHERE, 70, 2, -300),
    ("2013-02", *MORNING, 20, 2, 20),
    ("2013-03", *MORNING, 30, 30, 3000),
    ("2013-04", *ELSEWHERE, 10, 10, 2000),
]
NAMES = tuple(field.name for field in COLUMNS)


def statistics(spark: SparkSession, rows: list[tuple[Any, ...]]) -> DataFrame:
    return spark.createDataFrame(
        rows,
        "month string, carrier string, origin string, dest string, hour int, "
        "arrivals bigint, late_arrivals bigint, delay_sum_min bigint",
    )


def history(spark: SparkSession, table: list[tuple[Any, ...]], *flights: tuple[Any, ...]) -> list[Row]:
    """The features of flights, each a date and a key, in their order."""
    rows = spark.createDataFrame(
        [(number, *flight) for number, flight in enumerate(flights)],
        "number int, flight_date date, carrier string, origin string, dest string, sched_hour int",
    )
    made = with_route_history(rows, rows, statistics(spark, table))
    assert {*made.columns} == {*rows.columns, *NAMES}
    return made.orderBy("number").select(*NAMES).collect()


def drawn(total: float, number: float, average: float) -> float:
    return (total + PRIOR_ARRIVALS * average) / (number + PRIOR_ARRIVALS)


def test_the_features_are_those_of_the_months_before(spark: SparkSession) -> None:
    (found,) = history(spark, STATISTICS, (date(2013, 3, 20), *MORNING))
    # January and February.
    late, delay = 22 / 120, 620 / 120
    route_late = drawn(20, 50, late)
    assert tuple(found) == pytest.approx(
        (route_late - late, drawn(12, 40, route_late) - late, drawn(920, 50, delay) - delay)
    )


def test_a_route_without_a_past_is_an_average_one(spark: SparkSession) -> None:
    new = ("UA", "LGA", "ORD", 12)
    known, first = history(spark, STATISTICS, (date(2013, 3, 20), *new), (date(2013, 1, 20), *new))
    assert tuple(known) == pytest.approx((0, 0, 0))
    # Of the first month's flights nothing is known at all.
    assert tuple(first) == (None, None, None)


def changed(month: str, key: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """The table with one row altered."""
    assert any(row[:5] == (month, *key) for row in STATISTICS)
    return [
        (*row[:5], row[5] + 5, row[6] + 3, row[7] + 700) if row[:5] == (month, *key) else row
        for row in STATISTICS
    ]


def test_a_row_of_the_same_or_a_later_month_changes_nothing(spark: SparkSession) -> None:
    flights = [(date(2013, 3, day), *MORNING) for day in (1, 15, 31)]
    table = [*STATISTICS, ("2013-03", *ELSEWHERE, 9, 1, 10), ("2013-04", *MORNING, 9, 1, 10)]
    later = {(month, *key) for month in ("2013-03", "2013-04") for key in (MORNING, ELSEWHERE)}
    assert later <= {row[:5] for row in table}
    altered = [(*row[:5], row[5] + 5, row[6] + 3, row[7] + 700) if row[:5] in later else row for row in table]
    assert history(spark, altered, *flights) == history(spark, table, *flights)


@pytest.mark.parametrize("month", ["2013-01", *thorough("2013-02")])
def test_a_row_of_an_earlier_month_shows(spark: SparkSession, month: str) -> None:
    flight = (date(2013, 3, 20), *MORNING)
    (before,), (after,) = (history(spark, table, flight) for table in (STATISTICS, changed(month, MORNING)))
    assert all(one != other for one, other in zip(before, after, strict=True))


def test_a_month_is_known_when_its_last_flights_have_landed(spark: SparkSession) -> None:
    days = [(date(2013, 3, day), *MORNING) for day in (1, 2, 3, 4)]
    found = history(spark, changed("2013-02", MORNING), *days)
    as_it_was = history(spark, STATISTICS, *days)
    assert [one == other for one, other in zip(found, as_it_was, strict=True)] == [True, True, False, False]


def test_a_year_ends_between_two_months(spark: SparkSession) -> None:
    (found,) = history(spark, STATISTICS, (date(2014, 1, 20), *ELSEWHERE))
    assert found.route_late_share == pytest.approx(drawn(12, 80, 62 / 160) - 62 / 160)


def test_flights_keep_their_number(spark: SparkSession) -> None:
    """Also where nothing is known, and where a key is missing."""
    flights = [(date(2013, month, 20), *key) for month in (1, 6) for key in (MORNING, ELSEWHERE, MORNING)]
    assert len(history(spark, STATISTICS, *flights, (date(2013, 6, 20), "UA", "EWR", None, 5))) == 7
    assert history(spark, [], flights[0]) == [Row(None, None, None)]
