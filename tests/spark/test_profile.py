"""Suites proposed from data: what they say, and that the gate and plain Great Expectations take them."""

from __future__ import annotations

import math
from datetime import date, datetime
from pathlib import Path
from typing import Any

import great_expectations as gx
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from millstream.errors import ConfigurationError
from millstream.quality.gate import run_gate
from millstream.quality.profile import SET_SIZE, _rounded, propose
from millstream.quality.suite import Suite
from millstream.quality.verdict import Verdict
from millstream_demo.flights import publish_flights
from tests.support.chain import Chain, contract_of, small_suite

pytestmark = pytest.mark.spark

KEY = ["flight_date", "carrier", "flight", "origin"]
KEY_IS_UNIQUE = {
    "type": "expect_compound_columns_to_be_unique",
    "kwargs": {"column_list": KEY},
    "severity": "critical",
}


def rules(suite: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """The limits of the suite's expectations of one kind, by column."""
    found = [one["kwargs"] for one in suite["expectations"] if one["type"] == f"expect_{kind}"]
    return {
        kwargs.get("column", "table"): {name: value for name, value in kwargs.items() if name != "column"}
        for kwargs in found
    }


def judged(frame: DataFrame, suite: dict[str, Any]) -> Verdict:
    verdict, _ = run_gate(frame, Suite.from_dict(suite), table=suite["meta"]["table"], run="r1")
    return verdict


@pytest.fixture(scope="module")
def things(spark: SparkSession) -> DataFrame:
    rows = [
        (
            number,
            f"place {number}",
            "ab"[number % 2],
            number / 3,
            None,
            number != 7,
            None if number < 10 else 1,
        )
        for number in range(100)
    ]
    schema = "id int, name string, state string, size double, empty int, _ref_place boolean, seen int"
    times = {"day": F.lit(date(2013, 5, 1)), "at": F.lit(datetime(2013, 5, 1, 10))}
    return spark.createDataFrame(rows, schema).withColumns(times)


def test_a_proposal_says_what_the_rows_are_like(things: DataFrame) -> None:
    suite = propose(things, "silver.things", ["id"])
    assert rules(suite, "table_row_count_to_be_between") == {"table": {"min_value": 50, "max_value": 200}}
    assert rules(suite, "column_values_to_be_unique") == {"id": {}}
    assert rules(suite, "column_values_to_be_in_set") == {
        "state": {"value_set": ["a", "b"]},
        "_ref_place": {"value_set": [True], "mostly": 0.98},
    }
    assert rules(suite, "column_value_lengths_to_be_between") == {"name": {"min_value": 7, "max_value": 8}}
    # Limits have two digits, rounded outwards.
    assert rules(suite, "column_values_to_be_between") == {
        "id": {"min_value": 0, "max_value": 99},
        "size": {"min_value": 0.0, "max_value": 33.0},
        "seen": {"min_value": 1, "max_value": 1},
    }
    present = rules(suite, "column_values_to_not_be_null")
    assert present == {
        # A critical rule of a row allows some: the others are to be published without them.
        "id": {"mostly": 0.99},
        **{key: {} for key in ["name", "state", "size", "day", "at"]},
        "seen": {"mostly": 0.89},
    }
    assert rules(suite, "column_max_to_be_between") == {"day": {"min_value": "2013-05-01"}}
    critical = {one["type"] for one in suite["expectations"] if one["severity"] == "critical"}
    assert critical == {
        "expect_table_row_count_to_be_between",
        "expect_column_values_to_be_unique",
        "expect_column_values_to_not_be_null",
    }


def test_a_proposal_passes_on_its_own_rows_and_not_on_others(things: DataFrame) -> None:
    suite = propose(things, "silver.things", ["id"])
    verdict = judged(things, suite)
    assert verdict.passed
    assert verdict.alerts == []
    other = things.withColumn("state", F.lit("c")).withColumn("size", F.lit(-1.0))
    assert {rule.column for rule in judged(other, suite).alerts} == {"state", "size"}
    assert not judged(things.limit(49), suite).passed


def test_rows_that_cannot_be_read_say_nothing(things: DataFrame) -> None:
    unread = F.when(F.col("id") == 7, F.array(F.lit("id: missing"))).otherwise(F.array())
    staged = things.withColumn("_malformed", unread.cast("array<string>"))
    suite = propose(staged, "silver.things", ["id"])
    assert rules(suite, "table_row_count_to_be_between") == {"table": {"min_value": 49, "max_value": 198}}
    assert rules(suite, "column_values_to_be_in_set")["_ref_place"] == {"value_set": [True]}
    assert (suite["meta"]["malformed_mostly"], suite["meta"]["tolerated_rows"]) == (0.99, 1)


def test_a_text_of_many_values_gets_no_set(spark: SparkSession) -> None:
    few = spark.range(SET_SIZE * 10).select("id", (F.col("id") % 5).cast("string").alias("text"))
    many = spark.range(SET_SIZE * 10).select("id", F.col("id").cast("string").alias("text"))
    assert "text" in rules(propose(few, "silver.things", ["id"]), "column_values_to_be_in_set")
    assert rules(propose(many, "silver.things", ["id"]), "column_values_to_be_in_set") == {}


def test_nan_and_infinity_are_told_and_in_no_range(spark: SparkSession) -> None:
    odd = {7: math.inf, 8: -math.inf, 9: math.nan}
    rows = [(number, odd.get(number, float(number)), math.inf, 3e-15) for number in range(100)]
    frame = spark.createDataFrame(rows, "id int, size double, endless double, tiny double")
    suite = propose(frame, "silver.things", ["id"])
    assert rules(suite, "column_values_to_be_between") == {
        "id": {"min_value": 0, "max_value": 99},
        "size": {"min_value": 0.0, "max_value": 99.0, "mostly": 0.96},
        "tiny": {"min_value": 3e-15, "max_value": 3e-15},
    }
    (told,) = [
        one["notes"]
        for one in suite["expectations"]
        if one["type"] == "expect_column_values_to_be_between" and one["kwargs"]["column"] == "size"
    ]
    assert "3 of 100 are NaN or infinite" in told
    verdict = judged(frame, suite)
    assert verdict.passed
    assert verdict.alerts == []


@pytest.mark.parametrize(
    ("value", "outwards", "limit"),
    [
        (33.1, math.ceil, 34.0),
        (-33.1, math.floor, -34.0),
        (3e-15, math.ceil, 3e-15),
        (5e-324, math.ceil, 5e-324),
        (1.79e308, math.ceil, 1.79e308),
        (1234, math.floor, 1200),
    ],
)
def test_a_limit_has_two_digits_and_holds_the_value(value: float, outwards: Any, limit: float) -> None:
    assert _rounded(value, outwards) == pytest.approx(limit, rel=1e-9, abs=0)
    assert outwards is math.floor or _rounded(value, outwards) >= value


def test_no_rows_no_suite(things: DataFrame) -> None:
    with pytest.raises(ConfigurationError, match="things has no rows"):
        propose(things.where("id < 0"), "silver.things", ["id"])


@pytest.mark.thorough
def test_a_proposal_from_a_real_month(spark: SparkSession, tmp_path: Path) -> None:
    chain = Chain(spark, tmp_path, contract_of("flights"), small_suite(KEY_IS_UNIQUE))
    publish_flights(tmp_path)
    published = chain.run("r1", ["2013-01"])
    suite = propose(chain.rows(), "silver.flights", KEY, "month")

    theirs = gx.ExpectationSuite(**suite)
    assert len(theirs.expectations) == len(suite["expectations"])
    assert suite["meta"]["parameters"] == {"first_date": "2013-01-01", "last_date": "2013-01-31", "days": 31}
    assert rules(suite, "column_values_to_be_in_set")["origin"] == {"value_set": ["EWR", "JFK", "LGA"]}
    daily = published["written"] / 31
    assert rules(suite, "table_row_count_to_be_between")["table"] == {
        "min_value": {"$PARAMETER": f"days * {math.floor(daily / 2)}"},
        "max_value": {"$PARAMETER": f"days * {math.ceil(daily * 2)}"},
    }
    verdict = judged(chain.rows(), suite)
    assert verdict.passed
    assert verdict.alerts == []
