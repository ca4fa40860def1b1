"""Reading suites: parameters, severities, labels, versions, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from millstream.errors import ContractError, UnsupportedExpectationError
from millstream.quality.parameters import run_parameters
from millstream.quality.suite import Suite
from millstream.quality.suites import suite_in
from millstream.quality.verdict import page_name
from millstream.settings import CHECKOUT

SUITES = sorted((CHECKOUT / "expectations").glob("*.json"))


def suite(*expectations: dict[str, Any], **meta: Any) -> dict[str, Any]:
    return {"name": "things", "meta": meta, "expectations": list(expectations)}


def one(kind: str, severity: str = "critical", **kwargs: Any) -> dict[str, Any]:
    return {"type": kind, "kwargs": kwargs, "severity": severity}


ORIGIN = one("expect_column_values_to_be_in_set", column="origin", value_set=["EWR", "JFK"])


@pytest.mark.parametrize(
    ("expectation", "label"),
    [
        (ORIGIN, "origin in set [EWR, JFK]"),
        (one("expect_column_values_to_not_be_null", column="dest"), "dest is not null"),
        (
            one("expect_column_values_to_be_between", column="x", min_value=0, max_value=5, strict_min=True),
            "x is more than 0 and at most 5",
        ),
        (
            one(
                "expect_column_values_to_be_null",
                column="dep",
                row_condition={
                    "type": "comparison",
                    "column": {"name": "cancelled"},
                    "operator": "==",
                    "parameter": True,
                },
            ),
            "dep is null where cancelled == True",
        ),
        (one("expect_compound_columns_to_be_unique", column_list=["a", "b"]), "a, b is unique"),
        (
            one("expect_table_row_count_to_be_between", min_value=1),
            "table row count is at least 1",
        ),
    ],
)
def test_a_label_says_what_is_expected(expectation: dict[str, Any], label: str) -> None:
    assert Suite.from_dict(suite(expectation)).rules[0].label == label


@pytest.mark.parametrize(
    ("expectation", "reason"),
    [
        (ORIGIN, "origin in set [EWR, JFK]"),
        (
            one(
                "expect_column_values_to_be_between", column="x", min_value=0, max_value={"$PARAMETER": "end"}
            ),
            "x is between 0 and end",
        ),
        (
            one("expect_column_values_to_be_in_set", column="x", value_set=[3, {"$PARAMETER": "end"}]),
            "x in set [3, end]",
        ),
        (
            one("expect_column_values_to_be_between", column="x", max_value={"$PARAMETER": "days * 3"}),
            "x is at most days * 3",
        ),
    ],
)
def test_a_reason_is_the_same_whatever_the_runs_own_values(expectation: dict[str, Any], reason: str) -> None:
    runs = [Suite.from_dict(suite(expectation), {"end": day, "days": day}).rules[0] for day in (1, 2)]
    assert [rule.reason for rule in runs] == [reason, reason]
    assert "days" not in runs[0].label
    assert "end" not in runs[0].label


def test_parameters_come_from_the_run_before_the_suite() -> None:
    rule = one(
        "expect_table_row_count_to_be_between",
        min_value={"$PARAMETER": "days * 400"},
        max_value={"$PARAMETER": "most"},
    )
    data = suite(rule, parameters={"days": 365, "most": 9})
    assert Suite.from_dict(data).rules[0].kwargs == {"min_value": 146_000, "max_value": 9}
    assert Suite.from_dict(data, {"days": 31}).rules[0].kwargs == {"min_value": 12_400, "max_value": 9}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"$PARAMETER": "nowhere"}, "needs the parameter 'nowhere'"),
        ({"$PARAMETER": "days + 1"}, "neither a name nor a name times a number"),
        ({"$PARAMETER": "start * 2"}, "must be a number"),
    ],
)
def test_a_parameter_that_cannot_be_filled_in_is_refused(value: dict[str, str], message: str) -> None:
    rule = one("expect_table_row_count_to_be_between", min_value=value)
    with pytest.raises(ContractError, match=message):
        Suite.from_dict(suite(rule, parameters={"days": 1, "start": "2013-01-01"}))


def test_a_critical_expectation_that_cannot_be_split_is_refused_and_a_warning_is_not() -> None:
    kind = "expect_column_values_to_be_increasing"
    with pytest.raises(UnsupportedExpectationError, match=f"things.*expectation 1: {kind}.*'warning'"):
        Suite.from_dict(suite(ORIGIN, one(kind, column="x")))
    assert Suite.from_dict(suite(one(kind, "warning", column="x"))).quarantining == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"name": "things"}, "expectations: Field required"),
        (suite(), "expectations: List should have at least 1 item"),
        (suite({**ORIGIN, "severity": "fatal"}), r"expectations\.0\.severity"),
        ([], "wrong expectation suite"),
    ],
)
def test_what_is_no_suite_is_refused_by_field(data: Any, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        Suite.from_dict(data)


def test_the_version_changes_with_the_content_and_not_with_its_layout() -> None:
    version = Suite.from_dict(suite(ORIGIN)).version
    reordered = json.loads(json.dumps(suite(ORIGIN), sort_keys=True))
    assert len(version) == 12
    assert Suite.from_dict(reordered).version == version
    assert Suite.from_dict(suite({**ORIGIN, "severity": "warning"})).version != version


def test_a_run_of_months_says_its_days() -> None:
    found = run_parameters(["2012-02", "2012-01"])
    assert (found["first_date"], found["last_date"], found["days"]) == ("2012-01-01", "2012-02-29", 60)
    assert set(run_parameters([])) == {"tomorrow"}


def test_a_page_name_cannot_leave_its_folder() -> None:
    assert page_name("silver.flights", "../../x y", 3) == "silver.flights/.._.._x_y-v3.html"


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_every_suite_of_the_project_is_read(path: Any) -> None:
    found = Suite.from_dict(suite_in(CHECKOUT, path.stem))
    assert found.name == path.stem
    labels = [rule.label for rule in found.rules]
    assert len(labels) == len(set(labels)), "two rules with one label cannot be told apart in the quarantine"
    assert {rule.level for rule in found.quarantining} == {"row"}
    # A stream's rows are told from earlier ones by the stream itself.
    streamed = (CHECKOUT / "dags" / "streams" / path.name).with_suffix(".yaml").is_file()
    assert streamed or any(rule.checks_uniqueness for rule in found.quarantining), "the key is not checked"


def test_reading_a_suite_imports_neither_spark_nor_great_expectations() -> None:
    probe = (
        "import sys, millstream.quality.suite, millstream.quality.verdict\n"
        "print(sorted({'pyspark', 'pandas', 'great_expectations', 'airflow'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
