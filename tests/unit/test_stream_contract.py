"""A contract of a topic asks for nothing that a stream does not do; its suite has what the contract says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from millstream.contracts.contract import Contract
from millstream.contracts.documents import read_yaml
from millstream.errors import ContractError
from millstream.quality.suite import Suite
from millstream.quality.suites import suite_in
from millstream.settings import CHECKOUT
from millstream.streams.rules import not_judged, require_row_rules

EVENTS = CHECKOUT / "dags" / "streams" / "flight_events.yaml"
Change = Callable[[dict[str, Any]], Any]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda data: data["source"].update(headers=["event_id", "event_time"]), "lacks schema_version"),
        (lambda data: data["drift"].update(added="freeze"), "drift.added: 'freeze'"),
        (lambda data: data["drift"].update(retyped="freeze"), "drift.retyped: 'freeze'"),
        (lambda data: data["drift"].update(new_category="freeze"), "drift.new_category: 'freeze'"),
        (lambda data: data.update(load="full"), "load: a topic is read on"),
        (lambda data: data.update(mode="etl"), "mode, schedule"),
        (lambda data: data.update(schedule="@daily"), "mode, schedule"),
        (
            lambda data: data["columns"][9].update(references="silver.airports.faa"),
            "no references",
        ),
        (lambda data: data["columns"][9].update(rename="airport"), "needs the columns origin"),
        (
            lambda data: (
                data["source"].update(views=["arrival_delay_live"])
                or data["columns"][11].update(rename="plane")
            ),
            "arrival_delay_live needs the columns tailnum",
        ),
        (lambda data: data["source"].update(dead_letter="flights"), "different topics"),
        (lambda data: data["source"].update(dead_letter="flight-alerts"), "different topics"),
        (lambda data: data["source"]["alerts"].update(topic="flights"), "different topics"),
        (lambda data: data["source"]["alerts"].update(rules={}), "rules"),
        (lambda data: data["columns"][11].update(type="array<string>"), "leave alerts out, or use json"),
    ],
)
def test_what_a_stream_does_not_do_is_refused(change: Change, problem: str) -> None:
    data: Any = read_yaml(EVENTS)
    change(data)
    with pytest.raises(ContractError, match=problem):
        Contract.from_dict(data, "flight_events.yaml")


def test_a_stream_without_alerts_may_have_lists() -> None:
    """Its records are decoded in Python, which real-time mode does not take."""
    data: Any = read_yaml(EVENTS)
    data["columns"][11].update(type="array<string>")
    del data["source"]["alerts"]
    Contract.from_dict(data, "flight_events.yaml")


def test_the_suite_of_a_stream_has_the_rules_of_its_contract_that_are_about_one_row() -> None:
    suite = Suite.from_dict(suite_in(CHECKOUT, "flight_events"))

    labels = {rule.label for rule in suite.rules}
    assert "event_type in set [scheduled, departed, arrived, cancelled]" in labels
    assert "carrier is not null" in labels
    require_row_rules(suite)


def test_a_critical_rule_about_more_than_one_row_is_refused_and_a_warning_named(tmp_path: Path) -> None:
    written = json.loads((CHECKOUT / "expectations" / "flight_events.json").read_text())
    unique = {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "tailnum"}}
    table = {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 5}}
    for rule in (unique, table):
        changed = {**written, "expectations": [{**rule, "severity": "critical"}]}
        with pytest.raises(ContractError, match="each row by itself"):
            require_row_rules(Suite.from_dict(changed))

    warned = Suite.from_dict({**written, "expectations": [{**unique, "severity": "warning"}]})
    require_row_rules(warned)
    assert not_judged(warned) == ["tailnum is unique"]
