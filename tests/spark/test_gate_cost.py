"""What judging costs, counted in Spark jobs and in scans of the table: it depends on the data and not on the
number of rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from bench.spark_counts import measure
from millstream.quality.gate import run_gate
from millstream.quality.suite import UNIQUENESS, Suite
from millstream_demo.flights import publish_flights
from tests.support.chain import Chain, contract_of, suite_of
from tests.support.gate_parity import CASES, DIRTY, SCHEMA

pytestmark = pytest.mark.spark


def cost_to_judge(spark: SparkSession, folder: Path, *expectations: dict[str, Any]) -> tuple[int, int]:
    """Spark jobs, and scans of the table."""
    # As plain files, because Delta reads its own log with jobs too.
    files = str(folder / "plain")
    spark.createDataFrame(DIRTY, SCHEMA).coalesce(1).write.mode("overwrite").parquet(files)
    frame = spark.read.parquet(files)
    suite = Suite.from_dict({"name": "things", "expectations": list(expectations)})
    found = measure(spark, lambda: run_gate(frame, suite, table="silver.things", run="r1"))
    return found.jobs, found.scans


def in_set(*values: str) -> dict[str, Any]:
    return {
        "type": "expect_column_values_to_be_in_set",
        "kwargs": {"column": "s", "value_set": list(values)},
        "severity": "warning",
    }


def test_where_nothing_is_broken_one_aggregation_is_all(spark: SparkSession, tmp_path: Path) -> None:
    assert cost_to_judge(spark, tmp_path, in_set("N1", "N22", "bad", "N4'", "n22")) == (1, 1)


def test_more_rules_take_no_more_jobs(spark: SparkSession, tmp_path: Path) -> None:
    one = in_set("N1")
    many = [
        found
        for found, _ in CASES
        if found["type"] not in {*UNIQUENESS, "expect_column_unique_value_count_to_be_between"}
    ]
    assert len(many) > 40
    # One aggregation counts, one finds examples.
    assert cost_to_judge(spark, tmp_path, one) == cost_to_judge(spark, tmp_path, *many) == (2, 2)


@pytest.mark.parametrize(("column", "scans"), [("m", 2), ("k", 4)])
def test_a_key_costs_more_only_where_it_repeats(
    spark: SparkSession, tmp_path: Path, column: str, scans: int
) -> None:
    """Counts, and the hashes of the key; where these repeat also the keys themselves, and examples."""
    unique = {"type": "expect_column_values_to_be_unique", "kwargs": {"column": column}}
    assert cost_to_judge(spark, tmp_path, {**unique, "severity": "warning"})[1] == scans


def test_the_suite_of_the_real_flights(spark: SparkSession, tmp_path: Path) -> None:
    chain = Chain(spark, tmp_path, contract_of("flights"), suite_of("flights"))
    publish_flights(tmp_path)
    chain.land("r1", ["2013-01"])
    staged = chain.stage("r1")
    # As plain files, because Delta reads its own log with jobs too.
    files = str(tmp_path / "plain")
    spark.read.format("delta").load(staged["staged_uri"]).write.parquet(files)
    frame = spark.read.parquet(files)
    days = {"first_date": "2013-01-01", "last_date": "2013-01-31", "days": 31}
    suite = Suite.from_dict(chain.suite, days)
    verdicts = []

    def judged() -> None:
        verdicts.append(run_gate(frame, suite, table="silver.flights", run="r1")[0])

    # Counts and examples; the number of days; the key.
    found = measure(spark, judged)
    assert (found.jobs, found.scans) == (2 + 1 + 1, 2 + 1 + 1)
    assert verdicts[0].passed
    assert verdicts[0].warnings, "examples were looked for"
