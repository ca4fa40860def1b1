"""Every type of a contract, and how its values may be written: read exactly, or apart with the reason."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from math import inf
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import types as T

from millstream import transforms
from millstream.bronze.typed import typed
from millstream.contracts.contract import Contract
from millstream.contracts.types import KINDS, kind_name, spark_type
from millstream.errors import ContractError
from tests.support.chain import Chain, small_suite

GERMAN = {"decimal_mark": ",", "thousands_mark": "."}
WORDS = {"true_values": ["ja"], "false_values": ["nein"]}
# Type, what the column says besides, text, value; or why there is none.
CASES: list[tuple[str, dict[str, Any], str | None, Any]] = [
    ("decimal(10,2)", {}, "12.50", Decimal("12.50")),
    ("decimal(10,2)", {}, " -0.1 ", Decimal("-0.10")),
    ("decimal(10,2)", {}, "12.5000", Decimal("12.50")),
    ("decimal(10,2)", {}, "1.2e3", Decimal("1200.00")),
    ("decimal(10,2)", {}, "5e-2", Decimal("0.05")),
    ("decimal(10,2)", {}, "5e-3", "wider than decimal(10,2): 5e-3"),
    ("decimal(10,2)", {}, "12.505", "wider than decimal(10,2): 12.505"),
    ("decimal(10,2)", {}, "100000000.00", "wider than decimal(10,2): 100000000.00"),
    ("decimal(10,2)", {}, "99999999.99", Decimal("99999999.99")),
    ("decimal(10,2)", {}, "NaN", "not of type decimal(10,2): NaN"),
    ("decimal(10,2)", {}, "1,000.00", "not of type decimal(10,2): 1,000.00"),
    ("decimal(38,0)", {}, "9" * 38, Decimal("9" * 38)),
    ("decimal(38,18)", {}, "12345678901234567890." + "1" * 18, Decimal("12345678901234567890." + "1" * 18)),
    ("decimal(10,2)", GERMAN, "1.234.567,89", Decimal("1234567.89")),
    ("decimal(10,2)", GERMAN, "1234567,8", Decimal("1234567.80")),
    ("decimal(10,2)", GERMAN, "12.50", "not of type decimal(10,2): 12.50"),
    ("decimal(10,2)", GERMAN, "1.23.456,0", "not of type decimal(10,2): 1.23.456,0"),
    ("decimal(10,2)", {"thousands_mark": " "}, "1 234.5", Decimal("1234.50")),
    ("int", GERMAN, "-1.234", -1234),
    ("int", {"thousands_mark": "'"}, "1'234", 1234),
    ("double", GERMAN, "1.234,5e1", 12345.0),
    ("double", {"decimal_mark": ","}, "1.5", "not of type double: 1.5"),
    ("bigint", {}, "9223372036854775807", 2**63 - 1),
    ("smallint", {}, "32767", 32767),
    ("smallint", {}, "32768", "wider than smallint: 32768"),
    ("smallint", {}, "7.0", 7),
    ("float", {}, "0.1", 0.10000000149011612),
    ("float", {}, "1e39", "wider than float: 1e39"),
    ("float", {}, "inf", float("inf")),
    ("timestamp_ntz", {}, "2024-02-29T05:30", datetime(2024, 2, 29, 5, 30)),
    ("timestamp_ntz", {}, "2024-02-29T05:30Z", "not of type timestamp_ntz: 2024-02-29T05:30Z"),
    ("timestamp_ntz", {"format": "dd.MM.yyyy HH:mm"}, "29.02.2024 05:30", datetime(2024, 2, 29, 5, 30)),
    (
        "timestamp",
        {"format": "yyyyMMddHHmmssX"},
        "20240229053000+02",
        datetime(2024, 2, 29, 3, 30, tzinfo=UTC),
    ),
    ("date", {"format": "dd.MM.yyyy"}, "29.02.2024", date(2024, 2, 29)),
    ("date", {"format": "dd.MM.yyyy"}, "29.02.2023", "not of type date: 29.02.2023"),
    ("date", {"format": "d.M.yyyy"}, "01.2.2024", date(2024, 2, 1)),
    (
        "timestamp",
        {"format": "MM/dd/yyyy'T'HH:mm:ss"},
        "02/29/2024T05:30:00",
        datetime(2024, 2, 29, 5, 30, tzinfo=UTC),
    ),
    ("date", {"format": "d MMM yy"}, "3 Feb 24", date(2024, 2, 3)),
    ("date", {"format": "dd.MM.yyyy"}, "2024-02-29", "not of type date: 2024-02-29"),
    ("time", {}, "05:30", "05:30:00"),
    ("time", {}, "05:30:00.2500", "05:30:00.25"),
    ("time", {}, "05:30:10.000", "05:30:10"),
    ("time", {}, "24:00", "not of type time: 24:00"),
    ("time", {"format": "hh:mm a"}, "05:30 PM", "17:30:00"),
    ("binary", {}, "\\x00FF", b"\x00\xff"),
    ("binary", {}, "\\x", b""),
    ("binary", {}, "\\x0", "not of type binary: \\x0"),
    ("binary", {"format": "base64"}, "AP8=", b"\x00\xff"),
    ("binary", {"format": "base64"}, "AP8", "not of type binary: AP8"),
    ("json", {}, '{"a": [1.50, null]}', '{"a": [1.50, null]}'),
    ("json", {}, '{"a": 1, "a": 2}', 'not of type json: {"a": 1, "a": 2}'),
    ("json", {}, "[1", "not of type json: [1"),
    ("array<int>", {}, " [1, null] ", [1, None]),
    ("array<int>", {}, "[]", []),
    ("array<int>", {}, "[1.5]", "not of type array<int>: [1.5]"),
    ("array<int>", {}, "[1] 2", "not of type array<int>: [1] 2"),
    ("array<int>", {}, "null", "not of type array<int>: null"),
    ("array<string>", {}, '["\\ud83d"]', 'not of type array<string>: ["\\ud83d"]'),
    ("array<string>", {}, '["\\uD83D"]', 'not of type array<string>: ["\\uD83D"]'),
    ("array<string>", {}, '["\\ud83d\\ude00", 1.50, {"a": 1.0}]', ["\U0001f600", "1.50", '{"a": 1.0}']),
    ("array<json>", {}, '["[1]", {"a": 1.50}]', ["[1]", '{"a": 1.50}']),
    ("array<time>", {}, '["05:30"]', ["05:30:00"]),
    (
        "array<array<array<float>>>",
        {},
        '[[[0.5], [null, "inf"]], [], null]',
        [[[0.5], [None, inf]], [], None],
    ),
    ("array<decimal(38,18)>", {}, f"[{'1' * 20}.{'1' * 18}]", [Decimal(f"{'1' * 20}.{'1' * 18}")]),
    ("struct<order:int,interval:date>", {}, '{"order": 1, "interval": null}', (1, None)),
    ("struct<a:int>", {}, '{"a": 1, "a": 2}', 'not of type struct<a:int>: {"a": 1, "a": 2}'),
    ("struct<a:int>", {}, "[1]", "not of type struct<a:int>: [1]"),
    ("map<int,double>", {}, '{"1": 0.5, "2": null}', {1: 0.5, 2: None}),
    ("map<int,double>", {}, '{"1": 0.5, "01": 1}', 'not of type map<int,double>: {"1": 0.5, "01": 1}'),
    ("map<int,double>", {}, '{"a": 0.5}', 'not of type map<int,double>: {"a": 0.5}'),
    ("boolean", WORDS, "ja", True),
    ("boolean", WORDS, "nein", False),
    ("boolean", WORDS, "true", "not of type boolean: true"),
    ("int", {"null_values": ["-999", ""]}, "-999", None),
    ("int", {"null_values": ["-999"]}, "", "not of type int: "),
    ("string", {"null_values": []}, "", ""),
]


def contract(*columns: dict[str, Any]) -> Contract:
    return Contract.from_dict(
        {
            "dataset": "types",
            "version": 1,
            "description": "A column of each type.",
            "owner": "tests",
            "source": {"kind": "files", "connection": "drop", "format": "jsonl", "path": "a.jsonl"},
            "load": "full",
            "start_date": "2024-01-01",
            "columns": [{"description": "A value", **column} for column in columns],
            "primary_key": [columns[0]["name"]],
        },
        origin="test",
    )


def test_values_of_every_type_as_they_may_be_written(spark: SparkSession) -> None:
    names = [f"c{number}" for number in range(len(CASES))]
    of = contract(
        *({"name": name, "type": kind, **more} for name, (kind, more, _, _) in zip(names, CASES, strict=True))
    )
    assert {kind_name(kind) for kind, *_ in CASES} == set(KINDS)
    lineage = "_source_file string, _source_row bigint, _record_error string, _record string, _added string"
    schema = ", ".join([*(f"{name} string" for name in names), lineage])
    rows = spark.createDataFrame([(*(text for _, _, text, _ in CASES), "f", 1, None, None, None)], schema)
    (row,) = typed(rows, of).collect()
    reasons = dict(reason.split(": ", 1) for reason in row["_malformed"])
    for name, (kind, more, text, expected) in zip(names, CASES, strict=True):
        if isinstance(expected, str) and expected.startswith(("wider than", "not of type")):
            assert (row[name], reasons.pop(name)) == (None, expected), (kind, more, text)
        elif isinstance(expected, datetime) and expected.tzinfo:
            assert row[name].astimezone(UTC) == expected
        else:
            assert row[name] == expected, (kind, more, text)
    assert not reasons
    kinds = {field.name: field.dataType for field in typed(rows, of).schema}
    assert [kinds[name] for name in names] == [T.DataType.fromDDL(spark_type(kind)) for kind, *_ in CASES]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ({"type": "decimal"}, "expected one of string, smallint, int"),
        ({"type": "decimal(39,2)"}, "a decimal has 1 to 38 digits"),
        ({"type": "decimal(4,5)"}, "no more of them behind the point"),
        ({"type": "money"}, "expected one of string"),
        ({"type": "string", "format": "dd"}, "format: a column of type string has none"),
        ({"type": "date", "decimal_mark": ","}, "decimal_mark: a column of type date has none"),
        ({"type": "int", "decimal_mark": ",", "thousands_mark": ","}, "is the decimal mark too"),
        ({"type": "int", "thousands_mark": "."}, "is the decimal mark too"),
        ({"type": "int", "thousands_mark": "0"}, "one character that is no letter, digit or sign"),
        ({"type": "boolean", "true_values": ["ja"]}, "true_values and false_values go together"),
        ({"type": "boolean", "true_values": ["x"], "false_values": ["x"]}, "x would be false as well"),
        ({"type": "date", "format": "YYYY-MM-dd"}, "a date is not written with Y"),
        ({"type": "date", "format": "dd.MM"}, "a date needs y or u"),
        ({"type": "date", "format": "yyyy-MM-dd HH"}, "a date is not written with H"),
        ({"type": "timestamp_ntz", "format": "yyyy-MM-dd X"}, "a timestamp_ntz is not written with X"),
        ({"type": "time", "format": "HH"}, "a time needs m"),
        ({"type": "binary", "format": "hex"}, "bytes are written in base64"),
    ],
)
def test_what_means_nothing_is_refused_when_the_contract_is_read(column: Any, expected: str) -> None:
    with pytest.raises(ContractError, match=expected):
        contract({"name": "id", **column})


MONEY = """
from millstream.transforms import KEPT, column
from pyspark.sql.types import StructType

SCHEMA = StructType(
    [
        column("id", "bigint", "Number of the order", key=True),
        column("price", "decimal(15,2)", "What it costs"),
        column("day", "date", "When it was ordered"),
        column("at", "timestamp_ntz", "When it was ordered, by the shop's clock"),
        column("raw", "binary", "The receipt"),
    ]
)
KEY = ("id",)
REFERENCES = {}
CHECKS = {"price_is_positive": "price > 0"}


def transform(rows):
    return rows.select("id", "price", "day", "at", "raw", *KEPT)
"""
NAMES = ["id", "price", "day", "at", "raw"]
ROWS = [
    (1, Decimal("173665.47"), date(1996, 1, 2), datetime(1996, 1, 2, 10, 30), b"\x00\xff"),
    (2, Decimal("0.10"), date(1996, 12, 1), datetime(1996, 12, 1), b""),
    (3, Decimal("9999999999999.99"), date(1993, 10, 14), datetime(1993, 10, 14, 23, 59, 59, 250000), None),
]
LINES = [
    "1|173665.47|1996-01-02|1996-01-02 10:30|\\x00FF|",
    "2|0.1|1996-12-01|1996-12-01|\\x|",
    "3|9999999999999.9900|1993-10-14|1993-10-14T23:59:59.25||",
    "4|0.105|1996-01-02|1996-01-02||",
]
TBL = {"format": "csv", "delimiter": "|", "header": False, "trailing_delimiter": True}
RANGE = {
    "type": "expect_column_values_to_be_between",
    "kwargs": {"column": "price", "min_value": 0.01, "mostly": 0.5},
    "severity": "critical",
}


@pytest.fixture
def _transform_of_orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "orders.py").write_text(MONEY)
    monkeypatch.setattr(transforms, "__path__", [*transforms.__path__, str(folder)])
    yield
    sys.modules.pop("millstream.transforms.orders", None)


def orders(**source: Any) -> Contract:
    kinds = ["bigint", "decimal(15,2)", "date", "timestamp_ntz", "binary"]
    columns = [{"name": name, "type": kind} for name, kind in zip(NAMES, kinds, strict=True)]
    data = contract(*columns).model_dump(mode="json")
    named = {"kind": "files", "connection": "drop", "path": "orders", **source}
    return Contract.from_dict({**data, "dataset": "orders", "source": named}, origin="test")


@pytest.mark.usefixtures("_transform_of_orders")
def test_money_is_exact_from_a_file_to_the_table_whichever_format_brings_it(
    spark: SparkSession, tmp_path: Path
) -> None:
    suite = {**small_suite(RANGE), "meta": {"malformed_mostly": 0.5}}
    chain = Chain(spark, tmp_path, orders(**TBL), suite)
    chain.put("orders", "\n".join([*LINES, ""]))
    assert chain.run("r1")["changed"]

    def published() -> list[tuple[Any, ...]]:
        rows = chain.rows().select(*NAMES).orderBy("id").collect()
        return [(*row[:4], None if row[4] is None else bytes(row[4])) for row in rows]

    assert published() == ROWS
    assert chain.rows().schema["price"].dataType == T.DecimalType(15, 2)
    (kept,) = chain.rows(chain.table.quarantine).collect()
    assert list(kept["_reasons"]) == ["price: wider than decimal(15,2): 0.105"]
    (counts,) = chain.account().partitions.values()
    assert (counts.read, counts.written, counts.quarantined) == (4, 3, 1)

    stream = io.BytesIO()
    pd.DataFrame(ROWS, columns=NAMES).to_parquet(stream)
    chain.contract = orders(format="parquet")
    chain.put("orders", stream.getvalue())
    chain.run("r2")
    (again,) = chain.account().partitions.values()
    # Their hashes differ, because they come from another file.
    assert (again.read, again.written) == (3, 3)
    assert published() == ROWS
