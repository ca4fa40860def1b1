"""Days when clocks change, and the day that only some years have."""

from __future__ import annotations

import csv

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from millstream.bronze.typed import typed
from millstream.transforms import table_of
from millstream_demo import reference
from tests.support.chain import FLIGHTS_HEADER, contract_of

# In New York summer time began on 10 March 2013 and ended on 3 November.
CHANGES = {("3", "9"), ("3", "10"), ("3", "11"), ("11", "2"), ("11", "3"), ("11", "4")}


def transformed(spark: SparkSession, lines: list[dict[str, str]]) -> DataFrame:
    names = FLIGHTS_HEADER.split(",")
    raw = spark.createDataFrame(
        [(*(line[name] for name in names), "flights.csv", str(number)) for number, line in enumerate(lines)],
        ", ".join(f"`{name}` string" for name in (*names, "_source_file", "_source_row")),
    ).withColumns({name: F.lit(None).cast("string") for name in ("_record_error", "_record", "_added")})
    return table_of("flights").rows(typed(raw, contract_of("flights")))


def hour_by_row(found: DataFrame) -> dict[int, str | None]:
    """The departure's hour in UTC, by the number of the source's row."""
    chosen = found.select(
        F.element_at(F.split("_source_row_id", "#"), -1).cast("int"),
        F.date_format("sched_dep_utc", "yyyy-MM-dd'T'HH:00:00'Z'"),
    )
    return dict(chosen.collect())


@pytest.mark.spark
def test_departures_are_in_the_sources_own_utc_hour_when_clocks_change(spark: SparkSession) -> None:
    every = csv.DictReader(line.decode() for line in reference.flight_lines())
    lines = [line for line in every if (line["month"], line["day"]) in CHANGES]
    assert {(line["month"], line["day"]) for line in lines} == CHANGES
    found = hour_by_row(transformed(spark, lines))
    assert found == {number: line["time_hour"] for number, line in enumerate(lines)}


@pytest.mark.spark
def test_the_29th_of_february_is_a_day_in_leap_years_only(spark: SparkSession) -> None:
    line = next(iter(csv.DictReader(line.decode() for line in reference.flight_lines())))
    days = [{**line, "year": year, "month": "2", "day": "29"} for year in ("2012", "2013")]
    found = transformed(spark, days).orderBy("_source_row_id").select("month", "flight_date").collect()
    assert [(row["month"], str(row["flight_date"])) for row in found] == [
        ("2012-02", "2012-02-29"),
        (None, "None"),
    ]
