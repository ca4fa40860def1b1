"""The JSON Schema of a topic's values, from its contract: what a producer may validate against.

    python -m millstream.contracts.value_schema dags/streams/flight_events.yaml

The contract alone says what columns there are; the schema is that in the words of producers.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from millstream.contracts.contract import Column, Contract
from millstream.contracts.nested import ArrayOf, MapOf, StructOf, nested
from millstream.contracts.sources import kafka
from millstream.contracts.types import digits_of

_NUMBER = {"type": "number"}
_TYPES: dict[str, dict[str, Any]] = {
    "string": {"type": "string"},
    "smallint": {"type": "integer", "minimum": -(2**15), "maximum": 2**15 - 1},
    "int": {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
    "bigint": {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    "float": _NUMBER,
    "double": _NUMBER,
    "boolean": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "timestamp": {"type": "string", "format": "date-time"},
    "timestamp_ntz": {"type": "string"},
    "time": {"type": "string"},
    "binary": {"type": "string"},
}


def value_schema(contract: Contract) -> dict[str, Any]:
    """JSON Schema (2020-12) of a value of the newest schema version; columns of headers are not in it."""
    source = contract.source
    assert isinstance(source, kafka.Source)
    columns = [column for column in contract.columns if column.name not in source.headers]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"{contract.dataset}/{max(source.schema_versions)}",
        "description": contract.description,
        "type": "object",
        "properties": {column.name: _property(column, contract) for column in columns},
        "required": [column.name for column in columns if not contract.lacks_nothing_without(column)],
        "additionalProperties": contract.drift.added == "evolve",
    }


def _property(column: Column, contract: Contract) -> dict[str, Any]:
    if column.type == "json":
        return {"description": column.description}
    kind = _schema(column.type, contract)
    if column.categories:
        kind["enum"] = list(column.categories)
    if column.nullable:
        kind["type"] = [kind["type"], "null"]
    unit = f", {column.unit}" if column.unit else ""
    return {**kind, "description": f"{column.description}{unit}"}


def _schema(type_: str, contract: Contract) -> dict[str, Any]:
    match nested(type_):
        case ArrayOf(element):
            return {"type": "array", "items": _or_null(element, contract)}
        case MapOf(_, value):
            return {"type": "object", "additionalProperties": _or_null(value, contract)}
        case StructOf(fields):
            return {
                "type": "object",
                "properties": {name: _or_null(each, contract) for name, each in fields},
                "required": [] if contract.drift.removed == "evolve" else [name for name, _ in fields],
                "additionalProperties": contract.drift.added == "evolve",
            }
    return dict(_NUMBER if digits_of(type_) else _TYPES[type_])


def _or_null(type_: str, contract: Contract) -> dict[str, Any]:
    if type_ == "json":
        return {}
    schema = _schema(type_, contract)
    return {**schema, "type": [schema["type"], "null"]}


if __name__ == "__main__":
    print(json.dumps(value_schema(Contract.load_file(Path(sys.argv[1]))), indent=2))
