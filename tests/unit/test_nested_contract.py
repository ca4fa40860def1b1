"""Contracts with lists, records and maps: what is none of them, and what no such column can be."""

from __future__ import annotations

from typing import Any

import pytest

from millstream.contracts.contract import Contract
from millstream.errors import ContractError

SOURCE = {"kind": "files", "connection": "drop", "format": "jsonl", "path": "orders.jsonl"}
DATASET = {"dataset": "orders", "source": SOURCE, "primary_key": ["id"]}


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        ("array<>", "expected one type"),
        ("array<int,int>", "expected one type"),
        ("array<integer>", "expected one of string, smallint"),
        ("array<decimal(39,1)>", "a decimal has 1 to 38 digits"),
        ("struct<>", "expected its fields as name:type"),
        ("struct<a int>", "expected its fields as name:type"),
        ("struct<a-b:int>", "a name has letters, digits and _"),
        ("struct<a:int,A:int>", "two fields with the same name: 'a', 'A'"),
        ("map<string>", "the types of keys and values"),
        ("map<double,int>", "the keys of a map are of type string, smallint, int, bigint, date, not double"),
        ("array<" * 9 + "int" + ">" * 9, "nested at most 8 levels deep"),
        ("array<int", "expected one of string, smallint"),
    ],
)
def test_a_type_that_is_none_is_refused(type_: str, expected: str) -> None:
    columns = [{"name": "id"}, {"name": "a", "type": type_}]
    with pytest.raises(ContractError, match=expected):
        Contract.from_dict({**DATASET, "columns": columns}, origin="test")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"source": {"format": "csv.gz", "path": "a"}},
            "a is array<int>, and csv.gz has no lists and records: use",
        ),
        ({"source": {"format": "xml", "path": "a", "row_tag": "row"}}, "xml has no lists and records"),
        ({"source": {"format": "xlsx", "path": "a"}}, "xlsx has no lists and records"),
        ({"primary_key": ["a"]}, "a is array<int>, and neither a key nor a time"),
        ({"event_time": "a"}, "a is array<int>, and neither a key nor a time"),
        (
            {"load": "append", "keep": "latest by a"},
            "a number, date or timestamp says which row is the latest",
        ),
        ({"column": {"decimal_mark": ","}}, "a column of type array<int> has none"),
        ({"column": {"references": "silver.tags.id"}}, "a value is looked up as a whole"),
        ({"column": {"categories": ["x"]}}, "only a column of type string has them"),
    ],
)
def test_what_no_nested_column_can_be_is_refused(changes: dict[str, Any], expected: str) -> None:
    column = {"name": "a", "type": "array<int>", **changes.pop("column", {})}
    source = {**SOURCE, **changes.pop("source", {})}
    data = {**DATASET, "columns": [{"name": "id"}, column], "source": source, **changes}
    with pytest.raises(ContractError, match=expected):
        Contract.from_dict(data, origin="test")
