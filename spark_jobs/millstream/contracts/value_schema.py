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
        "properties": {column.name: _property(column) for column in columns},
        "required": [column.name for column in columns if not contract.lacks_nothing_without(column)],
        "additionalProperties": contract.drift.added == "evolve",
    }


def _property(column: Column) -> dict[str, Any]:
    if column.type == "json":
        return {"description": column.description}
    kind = dict(_NUMBER if digits_of(column.type) else _TYPES[column.type])
    if column.categories:
        kind["enum"] = list(column.categories)
    if column.nullable:
        kind["type"] = [kind["type"], "null"]
    unit = f", {column.unit}" if column.unit else ""
    return {**kind, "description": f"{column.description}{unit}"}


if __name__ == "__main__":
    print(json.dumps(value_schema(Contract.load_file(Path(sys.argv[1]))), indent=2))
