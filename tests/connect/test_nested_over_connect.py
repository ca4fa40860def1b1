"""Lists, records and maps over Connect: taken apart on the server, into a schema that is plain."""

from __future__ import annotations

from pathlib import Path

import pytest

from millstream.engines import sessions
from millstream.lake import history
from millstream.settings import Settings
from millstream.transforms import data_type
from tests.support.updates import chain_of

TYPES = {
    "tags": "array<string>",
    "rates": "map<string,struct<price:decimal(10,2),raw:json>>",
    "buyer": "struct<name:string,clock:time>",
}
DATASET = {
    "dataset": "orders",
    "source": {"kind": "files", "connection": "drop", "format": "jsonl", "path": "orders.jsonl"},
    "primary_key": ["id"],
    "columns": [{"name": "id", "type": "int"}, *({"name": name, "type": of} for name, of in TYPES.items())],
}
ROW = (
    '{"id": 1, "tags": ["a", null], "rates": {"x": {"price": 0.10, "raw": {"a": 1.50}}}, '
    '"buyer": {"name": "Ada", "clock": "05:30"}}\n'
)


@pytest.mark.thorough
def test_they_are_published(server: Settings, tmp_path: Path) -> None:
    with sessions.connect(server.connect_url, "nested/1", [], tag="nested") as spark:
        chain = chain_of(spark, tmp_path, DATASET)
        chain.put("orders.jsonl", ROW)
        assert chain.run("r1")["changed"]
        assert not chain.run("r2")["changed"]
        (row,) = chain.rows().select(*TYPES).collect()
        kinds = {field.name: field.dataType for field in chain.rows().schema.fields}
    assert row["tags"] == ["a", None]
    assert {name: (str(of["price"]), of["raw"]) for name, of in row["rates"].items()} == {
        "x": ("0.10", '{"a": 1.50}')
    }
    assert row["buyer"].asDict() == {"name": "Ada", "clock": "05:30:00"}
    assert {name: kinds[name] for name in TYPES} == {name: data_type(of) for name, of in TYPES.items()}
    present = history.read(chain.table, chain.root).now
    assert present is not None
    assert "collat" not in str(present.schema).lower()
