"""A contract against the one that its table was published under."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from millstream.contracts.contract import Contract
from millstream.contracts.types import is_wider
from millstream.errors import ContractError
from millstream.publishing.compatibility import compare, differences, readers, require_compatible
from tests.support.ledger_tables import publish

COLUMNS: list[dict[str, Any]] = [
    {"name": "tailnum", "type": "string", "description": "Tail number", "nullable": False},
    {"name": "seats", "type": "int", "description": "Seats"},
]


def contract(columns: list[dict[str, Any]] = COLUMNS, version: int = 1, **more: Any) -> Contract:
    return Contract.from_dict(
        {
            "dataset": "planes",
            "version": version,
            "description": "Planes in a register.",
            "owner": "tests",
            "source": {"kind": "files", "connection": "drop", "format": "csv", "path": "{partition}.csv"},
            "load": "full",
            "start_date": "2024-01-01",
            "columns": columns,
            "primary_key": ["tailnum"],
            **more,
        },
        origin="planes.yaml",
    )


def seats(**changes: Any) -> list[dict[str, Any]]:
    return [COLUMNS[0], {**COLUMNS[1], **changes}]


MONTHLY = {"load": "partition", "partition": {"start": "2013-01", "column": "tailnum"}}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (contract(), []),
        (contract(seats(description="Seats for passengers", unit="seats")), []),
        (contract(COLUMNS[:1]), [("column seats removed", True)]),
        (contract(seats(name="chairs")),
         [("column seats removed", True), ("column chairs added (int)", False)]),
        (contract(seats(type="bigint")), [("column seats: int → bigint", False)]),
        (contract(seats(type="double")), [("column seats: int → double", False)]),
        (contract(seats(type="string")), [("column seats: int → string", True)]),
        (contract(seats(nullable=False)), [("column seats: int → int not null", True)]),
        (contract(seats(type="bigint", nullable=False)), [("column seats: int → bigint not null", True)]),
        (contract(primary_key=["tailnum", "seats"]),
         [("column seats: int → int not null", True),
          ("primary key: ['tailnum'] → ['tailnum', 'seats']", True)]),
        (contract(**MONTHLY), [("partition: None → tailnum", True)]),
    ],
)  # fmt: skip
def test_what_breaks_readers(changed: Contract, expected: list[tuple[str, bool]]) -> None:
    found = differences(contract().schema_in_short(), changed.schema_in_short())
    assert [(change.text, change.breaking) for change in found] == expected


def test_a_narrower_type_breaks_and_a_looser_null_does_not() -> None:
    wide, narrow = contract(seats(type="bigint", nullable=False)), contract(seats())
    (change,) = differences(wide.schema_in_short(), narrow.schema_in_short())
    assert change.breaking
    (change,) = differences(contract(seats(nullable=False)).schema_in_short(), narrow.schema_in_short())
    assert not change.breaking


@pytest.mark.parametrize(
    ("old", "new", "wider"),
    [
        ("array<int>", "array<bigint>", True),
        ("array<bigint>", "array<int>", False),
        ("array<int>", "array<int>", False),
        ("array<int>", "json", False),
        ("array<array<date>>", "array<array<timestamp>>", True),
        ("struct<a:int,b:string>", "struct<b:string,c:date,a:int>", True),
        ("struct<a:int,b:string>", "struct<a:bigint>", False),
        ("map<string,decimal(5,2)>", "map<string,decimal(6,2)>", True),
        ("map<int,string>", "map<string,string>", False),
    ],
)
def test_a_nested_type_is_wider_where_its_parts_are(old: str, new: str, wider: bool) -> None:
    assert is_wider(new, old) is wider


@pytest.fixture
def lake(tmp_path: Path) -> str:
    """Planes published as version 2, features made from them, predictions made from these."""
    root = f"file://{tmp_path}/lake"
    planes = publish(root, "silver.planes", "r1", read=3, contract=contract(version=2).schema_in_short())
    inputs = {"silver.planes": planes, "silver.flights": 0}
    features = publish(root, "gold.arrival_delay_features", "r2", read=3, inputs=inputs)
    made_from = {"gold.arrival_delay_features": features, "model.arrival_delay": 1}
    publish(root, "gold.arrival_delay_predictions", "r3", read=3, inputs=made_from)
    publish(root, "silver.airlines", "r4", read=3)
    return root


def test_readers_are_found_in_the_tables_accounts(lake: str) -> None:
    assert readers("silver.planes", lake) == ["gold.arrival_delay_features", "gold.arrival_delay_predictions"]
    assert readers("silver.airlines", lake) == []


def test_a_breaking_contract_needs_a_higher_version_and_says_what_it_touches(lake: str) -> None:
    with pytest.raises(ContractError) as refused:
        require_compatible(contract(COLUMNS[:1], version=2), lake)
    assert str(refused.value) == (
        "planes.yaml: version: the contract breaks what silver.planes was published under as version 2: "
        "column seats removed. It touches silver.planes, silver.planes_quarantine, bronze.planes, "
        "gold.arrival_delay_features, gold.arrival_delay_predictions, expectations/planes.json, "
        "expectations/arrival_delay_features.json, expectations/arrival_delay_predictions.json, "
        "model arrival_delay. Nothing was written. What to do: take the change back, or adapt these and set "
        "version to 3"
    )
    require_compatible(contract(COLUMNS[:1], version=3), lake)
    require_compatible(contract(seats(type="bigint"), version=2), lake)


def test_a_table_without_a_recorded_contract_allows_any(tmp_path: Path) -> None:
    root = f"file://{tmp_path}/lake"
    assert compare(contract(), root).recorded_version is None
    publish(root, "silver.planes", "r1", read=3)
    found = compare(contract(), root)
    assert (found.changes, found.needs_version) == ((), None)
