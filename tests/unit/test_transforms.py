"""What a table is: by its contract alone, or with a module that makes columns of it."""

from __future__ import annotations

from typing import Any

import pytest

from millstream.contracts.contract import Contract
from millstream.errors import ConfigurationError, ContractError, TransformError
from millstream.transforms import column, table_of
from millstream.transforms import flights as module

SMALL: dict[str, Any] = {
    "dataset": "runways",
    "source": {"kind": "files", "connection": "demo_drop", "format": "csv", "path": "runways.csv"},
    "primary_key": ["airport", "runway"],
    "columns": [
        {"name": "airport", "references": "silver.airports.faa"},
        {"name": "runway"},
        {"name": "length", "rename": "length_ft", "type": "int", "description": "Length", "unit": "feet"},
    ],
}


def contract_with(**changes: Any) -> Contract:
    return Contract.from_dict({**SMALL, **changes}, origin="runways.yaml")


def test_without_a_module_the_typed_columns_are_the_table() -> None:
    table = table_of("runways", contract_with(checks={"positive": "length_ft > 0"}))
    assert [(one.name, one.dataType.simpleString(), one.nullable) for one in table.schema.fields] == [
        ("airport", "string", False),
        ("runway", "string", False),
        ("length_ft", "int", True),
    ]
    assert table.schema["length_ft"].metadata == {"comment": "Length, feet"}
    assert table.key == ("airport", "runway")
    assert table.references == {"_ref_airport": ("airport", "silver.airports", "faa")}
    assert table.checks == {"positive": "length_ft > 0"}
    assert table.file == "dags/datasets/runways.yaml"


def test_a_key_is_never_null_and_two_columns_have_no_name_in_common() -> None:
    assert [one.nullable for one in contract_with().columns] == [False, False, True]
    columns = [*SMALL["columns"], {"name": "width", "rename": "runway"}]
    with pytest.raises(ContractError, match="two have the same name in the table: 'runway'"):
        contract_with(columns=columns)


def test_a_module_names_columns_of_the_contract_and_adds_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    table = table_of("flights")
    assert table.key == ("flight_date", "carrier", "flight", "origin")
    assert table.schema["dep_delay_min"].metadata["comment"] == "Departure delay; negative is early, minutes"
    assert [one.name for one in table.schema.fields if not one.nullable] == [
        *("month", "flight_date", "carrier", "flight", "origin")
    ]
    monkeypatch.setattr(module, "SCHEMA", (*module.SCHEMA, "gate"))
    with pytest.raises(TransformError, match=r"flights\.py: SCHEMA: 'gate' is no column of dags/datasets/fl"):
        table_of("flights")


def test_a_module_that_lacks_a_part_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SCHEMA", (column("month", "string", "Month"), "carrier", "flight", "origin"))
    with pytest.raises(TransformError, match="the table lacks flight_date of its key or partition"):
        table_of("flights")
    for name in ("SCHEMA", "transform"):
        monkeypatch.delattr(module, name)
    with pytest.raises(
        TransformError, match=r"^spark_jobs/millstream/transforms/flights.py lacks SCHEMA, transform\. "
    ):
        table_of("flights")


def test_a_table_that_nothing_declares_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"write dags/datasets/nothing\.yaml, or spark_jobs/"):
        table_of("nothing")
