"""`make new` on lists and objects: types that read all of them, or json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from millstream.contracts.contract import Contract
from millstream.errors import ConfigurationError
from millstream_stack.commands.new.columns import guess
from millstream_stack.commands.new.contracts import contract_text
from millstream_stack.commands.new.looks import at_file

PART = "struct<a:string,b:array<boolean>>"
DEEP: Any = 1
for _ in range(9):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("values", "kind", "unsure"),
    [
        ([[1, 2], None, []], "array<int>", ""),
        ([[], []], "array<string>", ""),
        ([["2024-01-01"], [None]], "array<date>", ""),
        ([["01.02.2024"]], "array<string>", ""),
        ([[1.25], [3.5e0, 2]], "array<double>", ""),
        ([[True, False]], "array<boolean>", ""),
        ([[1, "a"]], "array<string>", ""),
        ([{"tags": "[1,2]"}], "struct<tags:string>", ""),
        ([['{"a": 1}']], "array<string>", ""),
        ([[1, [2]]], "array<json>", ""),
        ([["[3]", [2]]], "array<json>", ""),
        # A text comes without its quotes: such an element would not be JSON.
        ([["x", {"a": 1}]], "json", ""),
        ([{"tags": ["x", {"a": 1}]}], "struct<tags:json>", ""),
        ([{"a": "x", "b": 1}, {"a": [1], "b": 1}], "json", ""),
        ([{"a": "x", "b-b": [1]}], "json", ""),
        ([[1], {"a": 1}], "json", ""),
        ([{}, {}], "json", "no field of the objects was seen"),
        ([{"a": 1, "b": ["x"]}, {"b": [], "a": None}], "struct<a:int,b:array<string>>", ""),
        ([{"a": 1, "b": "x"}, {"a": 2}], "struct<a:int,b:string>", "not in every object: b"),
        (
            [{"a": 1, "b": 2}, {"a": 2}],
            "struct<a:int,b:int>",
            "or map<string,int>?; not in every object: b",
        ),
        ([{"a": 1}, {}], "map<string,int>", ""),
        ([{"a": 1}, {"b": 2}, {"c": 3}, {"d": 4.5}], "map<string,double>", ""),
        ([{"a-b": 1}, {"a-b": 2}], "map<string,int>", ""),
        ([{"a": 1, "A": "x"}], "map<string,string>", ""),
        ([DEEP], "array<" * 8 + "json" + ">" * 8, ""),
    ],
)
def test_a_shape_is_one_that_holds_every_value(values: list[Any], kind: str, unsure: str) -> None:
    found = guess("a", "a", (None if value is None else json.dumps(value) for value in values))
    assert (found.kind, found.unsure) == (kind, unsure)


def test_text_that_only_begins_as_json_is_text() -> None:
    assert guess("a", "a", ["[1]", "[2"]).kind == "string"
    assert guess("a", "a", ["[1]"], nests=False).kind == "json"
    assert guess("a", "a", ["\\x00ff", "\\x"]).kind == "binary"


def test_objects_that_lack_fields_are_allowed_to(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"id": 1, "o": {"a": 1, "b": "x"}}\n{"id": 2, "o": {"a": 2}}\n')
    text = contract_text("a", at_file(file, {}, "drop"))
    assert Contract.from_dict(yaml.safe_load(text), "a.yaml", stem="a").drift.removed == "evolve"
    file.write_text('{"id": 1, "o": {"a": 1}, "more": 1}\n{"id": 2, "o": {"a": 2}}\n')
    text = contract_text("a", at_file(file, {}, "drop"))
    assert Contract.from_dict(yaml.safe_load(text), "a.yaml", stem="a").drift.removed == "evolve"
    file.write_text('{"id": 1, "o": {"a": 1, "b": "x"}}\n')
    text = contract_text("a", at_file(file, {}, "drop"))
    assert Contract.from_dict(yaml.safe_load(text), "a.yaml", stem="a").drift.removed == "freeze"


def test_a_parquet_file_knows_its_types(tmp_path: Path) -> None:
    kinds = {
        "id": (pa.int64(), "bigint"),
        "small": (pa.uint8(), "smallint"),
        "large": (pa.uint64(), "decimal(20,0)"),
        "price": (pa.decimal128(9, 2), "decimal(9,2)"),
        "at": (pa.timestamp("us", "UTC"), "timestamp"),
        "wall": (pa.timestamp("ns"), "timestamp_ntz"),
        "clock": (pa.time64("us"), "time"),
        "bytes": (pa.binary(4), "binary"),
        "word": (pa.dictionary(pa.int8(), pa.string()), "string"),
        "list": (pa.large_list(pa.float32()), "array<float>"),
        "rates": (pa.map_(pa.date32(), pa.int16()), "map<date,smallint>"),
        "odd": (pa.map_(pa.float64(), pa.int16()), "json"),
        "part": (
            pa.struct([("a", pa.string()), ("b", pa.list_(pa.bool_()))]),
            "struct<a:string,b:array<boolean>>",
        ),
        "dash": (pa.struct([("a-b", pa.string())]), "json"),
    }
    schema = pa.schema([(name, type_) for name, (type_, _) in kinds.items()])
    rows = [{**dict.fromkeys(kinds), "id": number} for number in range(3)]
    pq.write_table(pa.Table.from_pylist(rows, schema), tmp_path / "a.parquet")
    text = contract_text("a", at_file(tmp_path / "a.parquet", {}, "drop"))
    contract = Contract.from_dict(yaml.safe_load(text), "a.yaml", stem="a")
    assert {column.name: column.type for column in contract.columns} == {
        name: kind for name, (_, kind) in kinds.items()
    }
    assert contract.primary_key == ("id",)


def test_lists_alone_identify_no_row(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"a": [1]}\n{"a": [2]}\n')
    with pytest.raises(ConfigurationError, match=r"a\.jsonl: a list or record identifies no row.*: a$"):
        contract_text("a", at_file(file, {}, "drop"))
