"""The gate's decisions: every field of the severity table, and what it refuses to decide."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from millstream.errors import ContractError, GateInconsistencyError, QualityGateError
from millstream.jobs import quality_gate
from millstream.lake.storage import Storage
from millstream.quality import gate
from millstream.quality.counting import Counts
from millstream.quality.docs_index import Pages
from millstream.quality.predicates import split
from millstream.quality.suite import Suite
from millstream.quality.verdict import BrokenRow, RuleVerdict, Verdict

pytestmark = pytest.mark.spark

# Ten rows to publish: id 9 is malformed, which no other rule may see; id 3 has a wrong size. And a duplicate
# that no rule may see at all.
ROWS = [
    *((number, "ok", 5.0, [], False) for number in range(10) if number not in (3, 9)),
    (3, "ok", -1.0, [], False),
    (9, None, None, ["size: not a number: 'x'"], False),
    (0, "bad", -1.0, [], True),
]
SCHEMA = "id int, state string, size double, _malformed array<string>, _duplicate boolean"


@pytest.fixture(scope="module")
def staged(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(ROWS, SCHEMA).coalesce(1)


def size_between(severity: str, mostly: float) -> dict[str, Any]:
    return {
        "type": "expect_column_values_to_be_between",
        "kwargs": {"column": "size", "min_value": 0, "mostly": mostly},
        "severity": severity,
    }


def rows_at_least(severity: str, rows: int) -> dict[str, Any]:
    return {
        "type": "expect_table_row_count_to_be_between",
        "kwargs": {"min_value": rows},
        "severity": severity,
    }


def suite(*expectations: dict[str, Any], malformed_mostly: float = 0.9, tolerated_rows: int = 0) -> Suite:
    return Suite.from_dict(
        {
            "name": "things",
            "meta": {"malformed_mostly": malformed_mostly, "tolerated_rows": tolerated_rows},
            "expectations": list(expectations),
        }
    )


def judge(staged: DataFrame, judged: Suite) -> tuple[Verdict, RuleVerdict]:
    """The verdict, and its finding for the suite's only rule."""
    verdict, _ = gate.run_gate(staged, judged, table="silver.things", run="r1", staged_version=0)
    return verdict, verdict.rules[-1]


@pytest.mark.parametrize(
    ("expectation", "action", "success", "passed", "quarantined"),
    [
        (size_between("critical", 0.8), "quarantine", True, True, 2),
        (size_between("critical", 0.95), "block", False, False, 0),
        (size_between("warning", 0.8), "warn", True, True, 1),
        (size_between("warning", 0.95), "warn", False, True, 1),
        (rows_at_least("critical", 9), "ok", True, True, 1),
        (rows_at_least("critical", 10), "block", False, False, 0),
        (rows_at_least("warning", 10), "warn", False, True, 1),
    ],
)
def test_what_follows_from_a_broken_rule(
    staged: DataFrame,
    expectation: dict[str, Any],
    action: str,
    success: bool,
    passed: bool,
    quarantined: int,
) -> None:
    verdict, rule = judge(staged, suite(expectation))
    assert (rule.action, rule.success) == (action, success)
    assert (verdict.passed, verdict.quarantined_rows, verdict.evaluated) == (passed, quarantined, 10)
    assert [alert.label for alert in verdict.alerts] == (
        [rule.label] if action == "warn" and not success else []
    )


def test_the_share_is_of_the_rows_that_have_a_value(staged: DataFrame) -> None:
    _, rule = judge(staged, suite(size_between("warning", 0.95)))
    assert (rule.broken, rule.considered) == (1, 9)
    assert rule.share == pytest.approx(1 / 9)


def test_more_malformed_rows_than_allowed_block(staged: DataFrame) -> None:
    verdict, _ = judge(staged, suite(rows_at_least("critical", 1), malformed_mostly=0.95))
    assert not verdict.passed
    assert verdict.reason == (
        "every value can be read as its column's type: 1 of 10 rows break it (10%), 0 allowed because "
        "malformed_mostly is 0.95"
    )


STATE_GIVEN = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "state"}}


def test_a_row_that_cannot_be_read_counts_as_malformed_alone(staged: DataFrame) -> None:
    """Its values are null because it could not be read."""
    judged = suite(STATE_GIVEN)
    verdict, rule = judge(staged, judged)
    assert (verdict.passed, verdict.quarantined_rows, verdict.evaluated) == (True, 1, 10)
    assert (rule.broken, rule.considered, rule.action) == (0, 9, "ok")
    leaving = split(gate.publishable(staged), judged).where(F.size("_reasons") > 0).collect()
    assert [row["_reasons"] for row in leaving] == [["size: not a number: 'x'"]]


def test_a_key_is_unique_among_the_rows_that_can_be_read(spark: SparkSession) -> None:
    rows = [(1, "good", []), (1, "unreadable", ["name: missing"]), (2, "good", [])]
    frame = spark.createDataFrame(rows, "id int, name string, _malformed array<string>").coalesce(1)
    rule = {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "id", "mostly": 0.1}}
    judged = suite(rule, malformed_mostly=0.1)
    assert judge(frame, judged)[1].broken == 0
    leaving = split(frame, judged).where(F.size("_reasons") > 0).collect()
    assert [row["name"] for row in leaving] == ["unreadable"]


def test_what_great_expectations_evaluates_itself_is_of_the_readable_rows(staged: DataFrame) -> None:
    """The value of the row that could not be read, 9, would be one more."""
    ids = {
        "type": "expect_column_distinct_values_to_equal_set",
        "kwargs": {"column": "id", "value_set": list(range(9))},
    }
    verdict, rule = judge(staged, suite(ids))
    assert (verdict.passed, rule.action) == (True, "ok")


@pytest.mark.parametrize(
    ("tolerated", "action", "allowed", "allowed_by"),
    [
        (0, "block", 0, "mostly is 0.95"),
        (1, "quarantine", 1, "tolerated_rows is 1"),
        (20, "quarantine", 20, "tolerated_rows is 20"),
    ],
)
def test_so_few_rows_stop_no_table_whatever_share_of_it_they_are(
    staged: DataFrame, tolerated: int, action: str, allowed: int, allowed_by: str
) -> None:
    judged = suite(size_between("critical", 0.95), malformed_mostly=0.95, tolerated_rows=tolerated)
    verdict, rule = judge(staged, judged)
    assert [one.action for one in verdict.rules] == [action, action]
    assert (rule.allowed, rule.allowed_by) == (allowed, allowed_by)
    assert (verdict.passed, verdict.quarantined_rows) == (action != "block", 2 if tolerated else 0)


def test_no_larger_table_is_replaced_by_nothing_whatever_is_tolerated(staged: DataFrame) -> None:
    """An unreadable row and one that breaks a rule, each the only one of its kind."""
    broken = staged.where("size(_malformed) > 0 and not _duplicate or size < 0 and not _duplicate").limit(2)
    judged = suite(size_between("critical", 0.95), malformed_mostly=0.95, tolerated_rows=2)
    verdict, _ = judge(broken, judged)
    assert (verdict.passed, verdict.quarantined_rows) == (True, 2)
    # As many rows as there were, or the first of a table.
    assert gate.with_some_left(verdict, 2) == gate.with_some_left(verdict, 0) == verdict
    replaced = gate.with_some_left(verdict, 16)
    assert (replaced.passed, replaced.quarantined_rows) == (False, 0)
    assert {one.action for one in replaced.rules} == {"block"}
    assert "no row would be left" in replaced.reason
    whole, _ = judge(staged, suite(size_between("critical", 0.8)))
    assert gate.with_some_left(whole, 16) == whole


def test_a_warning_is_given_whatever_is_tolerated(staged: DataFrame) -> None:
    verdict, rule = judge(staged, suite(size_between("warning", 0.95), tolerated_rows=5))
    assert (rule.action, rule.success) == ("warn", False)
    assert verdict.alerts == [rule]


def test_the_rows_that_leave_are_those_that_the_gate_counted(staged: DataFrame) -> None:
    judged = suite(size_between("critical", 0.8))
    verdict, _ = judge(staged, judged)
    for broken in (None, verdict.broken_indexes):
        rows = split(gate.publishable(staged), judged, broken).where(F.size("_reasons") > 0).collect()
        assert {row["id"]: row["_reasons"] for row in rows} == {
            3: ["size is at least 0"],
            9: ["size: not a number: 'x'"],
        }
        assert len(rows) == verdict.quarantined_rows


def test_every_member_of_a_group_of_equals_leaves(spark: SparkSession) -> None:
    rows = [(1, "a"), (1, "b"), (2, "c"), (None, "d"), (None, "e")]
    frame = spark.createDataFrame(rows, "id int, name string").coalesce(1)
    rule = {
        "type": "expect_column_values_to_be_unique",
        "kwargs": {"column": "id", "mostly": 0.3},
        "severity": "critical",
    }
    verdict, found = judge(frame, suite(rule))
    assert (found.broken, found.considered, found.action) == (2, 3, "quarantine")
    leaving = split(frame, suite(rule)).where(F.size("_reasons") > 0).collect()
    assert sorted(row["name"] for row in leaving) == ["a", "b"]
    assert verdict.quarantined_rows == 2


def test_equal_keys_are_found_whatever_their_bytes(spark: SparkSession) -> None:
    other_nan = struct.unpack(">d", bytes.fromhex("7ff8000000000001"))[0]
    rows = [(0.0,), (-0.0,), (math.nan,), (other_nan,), (1.0,)]
    frame = spark.createDataFrame(rows, "size double").coalesce(1)
    rule = {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "size", "mostly": 0.1}}
    verdict, found = judge(frame, suite(rule))
    assert (found.broken, verdict.quarantined_rows) == (4, 4)
    assert split(frame, suite(rule)).where(F.size("_reasons") > 0).count() == 4


def test_what_is_not_counted_is_evaluated_by_great_expectations(staged: DataFrame) -> None:
    median = {
        "type": "expect_column_median_to_be_between",
        "kwargs": {"column": "size", "min_value": 5, "max_value": 5},
    }
    verdict, found = judge(staged, suite(size_between("critical", 0.8), median))
    assert (found.action, found.observed) == ("ok", 5.0)
    assert [rule.action for rule in verdict.rules] == ["quarantine", "quarantine", "ok"]


def test_a_rule_that_cannot_be_evaluated_blocks_whatever_its_severity(staged: DataFrame) -> None:
    rule = {
        "type": "expect_column_mean_to_be_between",
        "kwargs": {"column": "state", "min_value": 0},
        "severity": "info",
    }
    verdict, found = judge(staged, suite(rule))
    assert (found.action, verdict.passed) == ("block", False)
    assert found.observed


def test_counts_that_great_expectations_judges_otherwise_give_no_verdict(
    staged: DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = gate.count

    def contradictory(frame: DataFrame, judged: Suite) -> Counts:
        # To Great Expectations a rule that applies to no row is fulfilled, whatever breaks it.
        return replace(count(frame, judged), selected={0: 0}, broken={0: 9})

    monkeypatch.setattr(gate, "count", contradictory)
    with pytest.raises(GateInconsistencyError, match=r"passed.*9 of 9"):
        judge(staged, suite(size_between("critical", 0.5)))


def test_a_rule_about_a_missing_column_names_it(staged: DataFrame) -> None:
    rule = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "colour"}}
    with pytest.raises(ContractError, match=r"'things'.*expectation 0.*no column colour"):
        judge(staged, suite(rule))


@pytest.fixture
def job(staged: DataFrame, tmp_path: Path) -> dict[str, Any]:
    """Arguments of the job on a staged Delta table."""
    lake = f"file://{tmp_path}/lake"
    uri = f"{lake}/staging/silver.things/r1"
    staged.write.format("delta").save(uri)
    return {
        "lake_root": lake,
        "table": "silver.things",
        "staged_uri": uri,
        "staged_version": 0,
        "run": "r1",
        "data_docs": True,
    }


def docs_of(job: dict[str, Any]) -> Path:
    return Path(job["lake_root"].removeprefix("file://")) / "data_docs"


def verdict_file(job: dict[str, Any]) -> Path:
    return Path(job["lake_root"].removeprefix("file://")) / "staging/silver.things/r1__verdict.json"


def test_the_job_leaves_its_verdict_and_its_page(spark: SparkSession, job: dict[str, Any]) -> None:
    data = suite(size_between("critical", 0.8), rows_at_least("warning", 11)).source
    result = quality_gate.run(spark, quality_gate.Args(**job, suite=data))
    assert result.passed
    assert json.loads(verdict_file(job).read_text()) == result.model_dump(mode="json")
    assert result.docs_page == "silver.things/r1-v0.html"
    page = (docs_of(job) / result.docs_page).read_text()
    assert "size is at least 0" in page
    assert "11.11%" in page
    assert result.docs_page in Pages(Storage(job["lake_root"])).index()


def test_a_failed_gate_says_what_broke_and_where_to_look(spark: SparkSession, job: dict[str, Any]) -> None:
    data = suite(size_between("critical", 0.95), rows_at_least("critical", 11)).source
    with pytest.raises(QualityGateError) as refusal:
        quality_gate.run(spark, quality_gate.Args(**job, suite=data))
    message = str(refusal.value)
    assert "silver.things is left as it was" in message
    assert "size is at least 0: 1 of 9 rows break it (11.11%), 0 allowed because mostly is 0.95" in message
    assert "table row count is at least 11: observed 9" in message
    assert 'Rows that stopped it, for example:\n- a row: {"size":-1.0}\n' in message
    assert "silver.things/r1-v0.html" in message
    assert json.loads(verdict_file(job).read_text())["passed"] is False
    page = (docs_of(job) / "silver.things/r1-v0.html").read_text()
    assert "Rows that stopped it" in page
    assert "{&#34;size&#34;:-1.0}" in page


def test_a_broken_row_keeps_to_its_line_whatever_is_in_it() -> None:
    row = BrokenRow(source_row_id="landing/x.csv#7", values='{"s":"a"}', record='"a\n- b#8: fine\x1b[2J",1')
    assert (
        quality_gate.describe_row(row)
        == 'landing/x.csv, row 7: {"s":"a"}; received as "a\\n- b#8: fine\\x1b[2J",1'
    )


def test_an_attempt_that_cannot_judge_takes_the_earlier_verdict_away(
    spark: SparkSession, job: dict[str, Any]
) -> None:
    data = suite(rows_at_least("critical", 1)).source
    quality_gate.run(spark, quality_gate.Args(**job, suite=data))
    assert verdict_file(job).exists()
    broken = {**data, "expectations": [{"type": "expect_no_such_thing", "kwargs": {}}]}
    with pytest.raises(ContractError, match=r"'things'.*expectation 0.*expect_no_such_thing"):
        quality_gate.run(spark, quality_gate.Args(**job, suite=broken))
    assert not verdict_file(job).exists()
