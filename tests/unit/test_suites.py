"""The suite that follows from a contract, and what a file adds to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from millstream.errors import ContractError
from millstream.quality.suite import Suite
from millstream.quality.suites import suite_in
from tests.unit.test_transforms import SMALL

KIND = {"name": "kind", "categories": ["land", "water"]}


def declared(
    root: Path, written: list[dict[str, Any]] | None = None, **changes: Any
) -> list[tuple[str, str, float]]:
    """The rules of the suite that `root` declares, each with its severity and share."""
    path = root / "dags" / "datasets" / "runways.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({**SMALL, "columns": [*SMALL["columns"], KIND], **changes}))
    if written is not None:
        (root / "expectations").mkdir()
        suite = {"name": "runways", "meta": {"malformed_mostly": 0.5}, "expectations": written}
        (root / "expectations" / "runways.json").write_text(json.dumps(suite))
    suite = suite_in(root, "runways")
    assert suite["meta"]["table"] == "silver.runways"
    return [(rule.label, rule.severity, rule.mostly) for rule in Suite.from_dict(suite).rules]


def test_without_a_file_the_contract_is_the_suite(tmp_path: Path) -> None:
    assert declared(tmp_path) == [
        ("table row count is at least 1", "critical", 1.0),
        ("airport, runway is unique", "critical", 1.0),
        ("airport is not null", "critical", 0.99),
        ("runway is not null", "critical", 0.99),
        ("kind in set [land, water]", "critical", 0.99),
        ("airport is in silver.airports", "warning", 1.0),
    ]


def test_an_allowed_change_is_no_error_of_the_suite(tmp_path: Path) -> None:
    rules = declared(tmp_path, allow_empty=True, drift={"new_category": "evolve"})
    assert ("kind in set [land, water]", "warning", 1.0) in rules
    assert not [label for label, _, _ in rules if "row count" in label]


def test_a_file_adds_rules_and_takes_the_place_of_those_on_the_same(tmp_path: Path) -> None:
    rows = {
        "type": "expect_table_row_count_to_be_between",
        "kwargs": {"min_value": 100},
        "severity": "critical",
    }
    many = {**rows, "kwargs": {"max_value": 900}, "severity": "warning"}
    rules = declared(tmp_path, [rows, many])
    counts = [rule for rule in rules if "row count" in rule[0]]
    assert counts == [
        ("table row count is at least 100", "critical", 1.0),
        ("table row count is at most 900", "warning", 1.0),
    ]
    assert ("airport, runway is unique", "critical", 1.0) in rules


def test_a_table_without_contract_needs_a_file(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"nothing\.json: table nothing has no suite in expectations/"):
        suite_in(tmp_path, "nothing")
