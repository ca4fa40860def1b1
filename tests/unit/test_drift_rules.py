"""Which changes are seen in a delivery's columns, and what each policy does with them."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from millstream.contracts import drift
from millstream.contracts.contract import Contract, Drift, DriftKind
from millstream.errors import ContractError, SchemaDriftError

COLUMNS: list[dict[str, Any]] = [
    {"name": "id", "type": "int", "description": "Key", "nullable": False},
    {"name": "seats", "type": "int", "description": "Seats", "aliases": ["seat_count", "Seat Count"]},
    {"name": "engine", "type": "string", "description": "Engine", "categories": ["jet", "prop"]},
]
FILES = {"kind": "files", "connection": "drop", "format": "csv", "path": "x.csv"}
SQL = {"kind": "sql", "connection": "db", "table": "x", "key": "serial", "watermark": "updated_at"}


def contract(
    columns: list[dict[str, Any]] = COLUMNS, source: dict[str, Any] = FILES, **policies: str
) -> Contract:
    return Contract.from_dict(
        {
            "dataset": "planes",
            "version": 1,
            "description": "Planes in a register.",
            "owner": "tests",
            "source": source,
            "load": "full",
            "start_date": "2024-01-01",
            "columns": columns,
            "primary_key": ["id"],
            "drift": policies,
        },
        origin="planes.yaml",
    )


def seen(found: list[str], wanted: Contract) -> list[tuple[str, str, str]]:
    return [(change.kind, change.column, change.policy) for change in drift.of_columns(wanted, found)]


@pytest.mark.parametrize(
    ("found", "policies", "expected"),
    [
        (["id", "seats", "engine"], {}, []),
        (["engine", "id", "seats"], {}, []),
        (["id", "seats", "engine", "wings"], {}, [("added", "wings", "evolve")]),
        (["id", "seats", "engine", "wings"], {"added": "freeze"}, [("added", "wings", "freeze")]),
        (["id", "engine"], {}, [("removed", "seats", "freeze")]),
        (["id", "engine"], {"removed": "evolve"}, [("removed", "seats", "evolve")]),
        (["seats", "engine"], {"removed": "evolve"}, [("removed", "id", "freeze")]),
        (["id", "Seat Count", "engine"], {}, [("renamed", "seats", "evolve")]),
        (["id", "seat_count", "engine"], {"renamed": "freeze"}, [("renamed", "seats", "freeze")]),
        (["id", "seats", "seat_count", "engine"], {}, [("added", "seat_count", "evolve")]),
    ],
)
def test_changes_of_columns(
    found: list[str], policies: dict[str, str], expected: list[tuple[str, str, str]]
) -> None:
    assert seen(found, contract(**policies)) == expected


def test_a_tables_own_key_and_watermark_are_no_added_columns() -> None:
    assert seen(["serial", "updated_at", "id", "seats", "engine"], contract(source=SQL)) == []


def test_only_a_frozen_change_stops_and_it_says_what_to_do() -> None:
    found = ["id", "engine", "wings"]
    drift.require_allowed("x.csv", drift.of_columns(contract(removed="evolve"), found), "Nothing", found)
    with pytest.raises(SchemaDriftError) as refused:
        drift.require_allowed("x.csv", drift.of_columns(contract(), found), "Nothing was loaded", found)
    assert str(refused.value) == (
        "x.csv: column removed at the source: seats; found id, engine, wings. Nothing was loaded. What to "
        "do: ask the source's owner; if it has another name now, add that to the column's aliases; if it is "
        "gone for good, publish a new version of the contract"
    )


def test_every_kind_of_change_has_its_policy_and_its_words() -> None:
    policies = Drift()
    assert set(get_args(DriftKind)) == set(Drift.model_fields)
    for kind in get_args(DriftKind):
        told = str(drift.Change(kind=kind, column="seats", policy=policies.policy(kind), rows=3))
        assert "at the source: seats, 3 rows" in told


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        ({"added": "quarantine"}, "drift.added: Input should be 'evolve' or 'freeze', found 'quarantine'"),
        ({"removed": "quarantine"}, "drift.removed: Input should be 'evolve' or 'freeze'"),
        ({"renamed": "quarantine"}, "drift.renamed: Input should be 'evolve' or 'freeze'"),
        ({"retyped": "evolve"}, "drift.retyped: Input should be 'freeze' or 'quarantine', found 'evolve'"),
        ({"nullability": "evolve"}, "drift.nullability: Input should be 'freeze' or 'quarantine'"),
        ({"widened": "ignore"}, "drift.widened: Input should be 'evolve', 'freeze' or 'quarantine'"),
        ({"narrowed": "freeze"}, "drift.narrowed: Extra inputs are not permitted"),
    ],
)
def test_a_policy_without_a_meaning_is_refused(policies: dict[str, str], expected: str) -> None:
    with pytest.raises(ContractError) as refused:
        contract(**policies)
    assert f"planes.yaml: {expected}" in str(refused.value)


PLAIN: list[dict[str, Any]] = [{"name": "id", "type": "int", "description": "Key", "nullable": False}]


@pytest.mark.parametrize(
    ("columns", "policies", "expected"),
    [
        (PLAIN, {"removed": "evolve"}, "'evolve' needs a nullable column"),
        (PLAIN, {"renamed": "freeze"}, "no column has one"),
        (PLAIN, {"new_category": "freeze"}, "no column has categories"),
        ([{**PLAIN[0], "categories": ["1"]}], {}, "only a column of type string has them, id is int"),
        ([*PLAIN, {**COLUMNS[1], "aliases": ["id"]}], {}, "named twice, as name or alias: 'id'"),
        ([{**PLAIN[0], "aliases": ["x", "x"]}], {}, "named twice, as name or alias: 'x'"),
        ([*PLAIN, {**COLUMNS[1], "aliases": ["ID"]}], {}, "named twice, as name or alias: 'id', 'ID' .Spark"),
    ],
)
def test_a_declaration_without_a_meaning_is_refused(
    columns: list[dict[str, Any]], policies: dict[str, str], expected: str
) -> None:
    with pytest.raises(ContractError, match=expected):
        contract(columns, **policies)


def test_a_contract_survives_its_way_to_a_job() -> None:
    for columns in (COLUMNS, PLAIN):
        sent = contract(columns)
        assert Contract.from_dict(sent.model_dump(mode="json"), origin="job") == sent


def test_what_a_source_calls_its_columns_ends_no_line_of_a_message() -> None:
    found = ["id", "seats", "engine", "wing\nspan"]
    changes = drift.of_columns(contract(added="freeze"), found)
    with pytest.raises(SchemaDriftError) as refused:
        drift.require_allowed("planes: x.csv", changes, "Nothing was loaded", found)
    assert r"column added at the source: wing\nspan; found id, seats, engine, wing\nspan." in str(
        refused.value
    )
    assert str(refused.value).isprintable()
