"""A verdict in three words, and what it says of tables that are not there yet."""

from __future__ import annotations

from typing import Any

import pytest

from millstream.quality.references import absent, not_checked
from millstream.quality.verdict import RuleVerdict, Verdict
from millstream.transforms import table_of

FLIGHTS = table_of("flights").references


def rule(**changes: Any) -> RuleVerdict:
    """A warning on all rows, none of which keeps the rule."""
    told = {
        "label": "_ref_dest is not null",
        "expectation_type": "expect_column_values_to_not_be_null",
        "severity": "warning",
        "level": "row",
        "success": False,
        "broken": 4,
        "considered": 4,
        "share": 1.0,
        "action": "warn",
    }
    return RuleVerdict.model_validate({**told, **changes})


def verdict(*rules: RuleVerdict, passed: bool = True) -> Verdict:
    return Verdict(
        table="silver.flights",
        suite="flights",
        suite_version="1",
        run="r1",
        staged_version=0,
        evaluated=4,
        quarantined_rows=0,
        passed=passed,
        reason="",
        rules=list(rules),
    )


def test_a_verdict_is_one_of_three_words() -> None:
    fine, within, beyond = rule(action="ok", success=True), rule(success=True), rule()
    assert verdict(fine).word == "passed"
    # So many rows the suite lets break the rule: nobody has to look.
    assert verdict(fine, within).word == "passed"
    assert verdict(fine, within, beyond).word == "passed with warnings"
    assert verdict(beyond, rule(action="block"), passed=False).word == "failed"


@pytest.mark.parametrize(
    ("told", "word"),
    [
        (rule(action="ok", success=True), "ok"),
        (rule(success=True), "within its allowance"),
        (rule(), "warning: beyond its allowance"),
        (rule(level="table"), "warning"),
        (rule(missing="silver.planes is not there"), "not checked"),
        (rule(action="quarantine", success=True), "to quarantine"),
        (rule(action="block"), "failed"),
    ],
)
def test_each_rule_says_in_words_what_follows(told: RuleVerdict, word: str) -> None:
    assert told.word == word


def test_what_was_not_there_is_said_with_what_to_run_first() -> None:
    assert absent(FLIGHTS, {"silver.airports": 3, "silver.airlines": 1, "bronze.flights": 0}) == {
        "_ref_tailnum": "silver.planes has not been published yet: run ingest_planes first, then this run "
        "again"
    }
    assert absent(FLIGHTS, {"silver.airports": 3, "silver.airlines": 1, "silver.planes": 0}) == {}


def test_a_rule_about_a_table_that_is_not_there_is_not_broken_by_all_rows() -> None:
    why = absent(FLIGHTS, {"silver.planes": 0, "silver.airlines": 0})
    told = not_checked(rule(), ("_ref_dest",), why)
    assert (told.action, told.broken, told.share, told.word) == ("warn", 0, 0.0, "not checked")
    assert told.missing == why["_ref_dest"]
    assert verdict(told).word == "passed with warnings"
    # A rule that considers no row keeps to every allowance; it has not been checked either.
    idle = not_checked(rule(action="ok", success=True, broken=0, considered=0), ("_ref_dest",), why)
    assert idle.word == "not checked"
    assert not_checked(rule(), ("_ref_tailnum",), why) == rule()


def test_a_critical_rule_about_it_still_keeps_the_rows_back_and_says_why() -> None:
    why = absent(FLIGHTS, {})
    told = not_checked(rule(severity="critical", action="block"), ("_ref_dest",), why)
    assert (told.action, told.broken, told.missing) == ("block", 4, why["_ref_dest"])
    # One that skips what could not be looked up has found nothing, which proves nothing.
    told = not_checked(rule(severity="critical", action="ok", broken=0, success=True), ("_ref_dest",), why)
    assert (told.action, told.success, told.missing) == ("block", False, why["_ref_dest"])
