"""Lists, records, maps and JSON: from files to the table exactly, in hashes, quarantine and drift."""

from __future__ import annotations

import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.orc
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from millstream.errors import SchemaDriftError
from millstream.lake.comparing import comparable, differ
from millstream.quality.gate import run_gate
from millstream.quality.profile import propose
from millstream.quality.suite import Suite
from millstream.transforms import data_type
from tests.support.chain import Chain
from tests.support.thorough import thorough
from tests.support.updates import chain_of

pytestmark = pytest.mark.spark

TYPES = {
    "tags": "array<string>",
    "prices": "array<decimal(20,2)>",
    "buyer": "struct<name:string,born:date,Home:struct<zip:string>>",
    "lines": "array<struct<sku:string,amount:int,at:timestamp>>",
    "rates": "map<string,double>",
    "by_day": "map<date,array<int>>",
    "raw": "json",
}
ORDERS: dict[str, Any] = {
    "dataset": "orders",
    "source": {"kind": "files", "connection": "drop", "format": "jsonl", "path": "orders.jsonl"},
    "primary_key": ["id"],
    "columns": [{"name": "id", "type": "int"}, *({"name": name, "type": of} for name, of in TYPES.items())],
}
FULL = (
    '{"id": 1, "tags": ["a, b", null, "", "é \\"q\\""], "prices": [12345678901234567.10, 0.5, "7"], '
    '"buyer": {"name": "Ada", "born": "1815-12-10", "Home": {"zip": "01067"}}, '
    '"lines": [{"sku": "x", "amount": 2, "at": "2024-02-29T05:30:00.123456+02:00"}, null], '
    '"rates": {"de": 1.5, "at": null, "": 1e-3}, "by_day": {"2024-02-29": [1, null], "2024-03-01": []}, '
    '"raw": {"b": [1.50], "a": null}}'
)
EMPTY = (
    '{"id": 2, "tags": [], "prices": null, "buyer": {"name": null, "born": null, "Home": null}, '
    '"lines": [], "rates": {}, "by_day": null, "raw": []}'
)
ADA = {"name": "Ada", "born": date(1815, 12, 10), "Home": {"zip": "01067"}}
AT = datetime(2024, 2, 29, 3, 30, 0, 123456, tzinfo=UTC)
ROWS: dict[int, dict[str, Any]] = {
    1: {
        "tags": ["a, b", None, "", 'é "q"'],
        "prices": [Decimal("12345678901234567.10"), Decimal("0.50"), Decimal("7.00")],
        "buyer": ADA,
        "lines": [{"sku": "x", "amount": 2, "at": AT}, None],
        "rates": {"de": 1.5, "at": None, "": 0.001},
        "by_day": {date(2024, 2, 29): [1, None], date(2024, 3, 1): []},
        "raw": '{"b": [1.50], "a": null}',
    },
    2: {
        "tags": [],
        "prices": None,
        "buyer": {"name": None, "born": None, "Home": None},
        "lines": [],
        "rates": {},
        "by_day": None,
        "raw": "[]",
    },
}
ARROW = pa.schema(
    [
        ("id", pa.int32()),
        ("tags", pa.list_(pa.string())),
        ("prices", pa.large_list(pa.decimal128(20, 2))),
        (
            "buyer",
            pa.struct(
                [("name", pa.string()), ("born", pa.date32()), ("Home", pa.struct([("zip", pa.string())]))]
            ),
        ),
        (
            "lines",
            pa.list_(
                pa.struct([("sku", pa.string()), ("amount", pa.int8()), ("at", pa.timestamp("us", "UTC"))])
            ),
        ),
        ("rates", pa.map_(pa.string(), pa.float64())),
        ("by_day", pa.map_(pa.date32(), pa.list_(pa.int64()))),
        ("raw", pa.string()),
    ]
)


def published(chain: Chain, names: Any = TYPES) -> dict[int, dict[str, Any]]:
    """The table's rows, read by Spark: by id, the columns `names`."""

    def plain(value: Any) -> Any:
        match value:
            case datetime():
                return value.astimezone(UTC)
            case dict():
                return {key: plain(one) for key, one in value.items()}
            case list():
                return [plain(one) for one in value]
            case _:
                return value

    rows = [row.asDict(recursive=True) for row in chain.rows().collect()]
    return {row["id"]: {name: plain(row[name]) for name in names} for row in rows}


def tolerant(chain: Chain) -> Chain:
    chain.suite["meta"] = {**chain.suite["meta"], "malformed_mostly": 0.01}
    return chain


def arrow_table() -> pa.Table:
    rows = [
        {"id": id_, **row, "rates": list(row["rates"].items()), "by_day": list((row["by_day"] or {}).items())}
        for id_, row in ROWS.items()
    ]
    rows[1]["by_day"] = None
    return pa.Table.from_pylist(rows, schema=ARROW)


def of_format(format_: str) -> bytes:
    if format_ == "jsonl":
        return f"{FULL}\n{EMPTY}\n".encode()
    stream = io.BytesIO()
    if format_ == "parquet":
        pq.write_table(arrow_table(), stream)
    else:
        pyarrow.orc.write_table(arrow_table(), stream)
    return stream.getvalue()


@pytest.mark.parametrize("format_", ["parquet", *thorough("jsonl", "orc")])
def test_every_value_is_exact_whichever_format_brings_it(
    spark: SparkSession, tmp_path: Path, format_: str
) -> None:
    source = {**ORDERS["source"], "format": format_, "path": f"orders.{format_}"}
    chain = chain_of(spark, tmp_path, ORDERS, source=source)
    chain.put(source["path"], of_format(format_))
    assert chain.run("r1")["changed"]
    assert published(chain) == ROWS
    kinds = {field.name: field.dataType for field in chain.rows().schema}
    assert {name: kinds[name] for name in TYPES} == {name: data_type(of) for name, of in TYPES.items()}
    (counts,) = chain.account().partitions.values()
    assert (counts.read, counts.written, counts.quarantined) == (2, 2, 0)
    assert not chain.run("r2")["changed"]


MORE = FULL.replace('"zip"', '"city": "Dresden", "zip"').replace('"sku"', '"note": 1, "sku"')
WRONG = {
    "tags": '{"a": 1}',
    "prices": "[0.105]",
    "buyer": '{"name": "Ada", "born": "1815-02-30", "Home": null}',
    "lines": '[{"sku": "x", "amount": 2}]',
    "rates": '{"de": "high"}',
    "by_day": '{"2024-02-29": [1], "today": []}',
}


def test_what_has_no_reading_goes_to_quarantine_and_fields_that_come_are_drift(
    spark: SparkSession, tmp_path: Path
) -> None:
    chain = tolerant(chain_of(spark, tmp_path, ORDERS))
    full = json.loads(FULL, parse_float=str)
    lines = [MORE]
    for id_, (name, text) in enumerate(WRONG.items(), 11):
        lines.append(json.dumps({**full, "id": id_, name: "@"}).replace('"@"', text))
    chain.put("orders.jsonl", "\n".join([*lines, ""]))
    chain.land("r1", [])
    staged = chain.stage("r1")
    changes = {(one["kind"], one["column"]): (one["detail"], one["rows"]) for one in staged["drift"]}
    added = {("added", "buyer"): "buyer.Home.city", ("added", "lines"): "lines[].note"}
    retyped = {("retyped", name): text for name, text in WRONG.items()} | {("retyped", "lines"): "lines[].at"}
    assert changes == {which: (f"for example {shown}", 1) for which, shown in (added | retyped).items()}
    chain.judge("r1", staged)
    chain.publish("r1", staged, [])
    assert published(chain) == {1: ROWS[1]}
    expected = {name: f"{name}: not of type {TYPES[name]}: {text}" for name, text in WRONG.items()}
    expected["lines"] = "lines: field missing: lines[].at"
    kept = chain.rows(chain.table.quarantine).orderBy("id").collect()
    assert [list(row["_reasons"]) for row in kept] == [[reason] for reason in expected.values()]
    received = [json.loads(row["_source_record"])[name] for row, name in zip(kept, WRONG, strict=True)]
    assert received == [*WRONG.values()]
    (counts,) = chain.account().partitions.values()
    assert (counts.read, counts.written, counts.quarantined) == (7, 1, 6)


@pytest.mark.thorough
def test_fields_that_come_and_go_as_the_contract_allows(spark: SparkSession, tmp_path: Path) -> None:
    chain = chain_of(spark, tmp_path, ORDERS, drift={"removed": "evolve"})
    fewer = EMPTY.replace(', "Home": null', "")
    chain.put("orders.jsonl", f"{MORE}\n{fewer}\n")
    chain.run("r1")
    assert published(chain) == ROWS
    chain = chain_of(spark, tmp_path, ORDERS, drift={"added": "freeze"})
    chain.land("r2", [])
    with pytest.raises(
        SchemaDriftError, match=r"added at the source: buyer, 1 rows \(for example buyer.Home"
    ):
        chain.stage("r2")


EVENTS = {
    **ORDERS,
    "dataset": "events",
    "source": {**ORDERS["source"], "path": "*.jsonl", "quiet_seconds": 0},
    "load": "append",
    "keep": "latest by at",
    "columns": [
        {"name": "id", "type": "int"},
        {"name": "at", "type": "timestamp", "nullable": False},
        {"name": "labels", "type": "map<string,array<int>>"},
        {"name": "history", "type": "array<struct<n:int>>"},
    ],
}


@pytest.mark.parametrize("history", [None, *thorough("scd2")])
def test_rows_with_maps_take_the_place_of_others(
    spark: SparkSession, tmp_path: Path, history: str | None
) -> None:
    chain = chain_of(spark, tmp_path, EVENTS, **({"history": history} if history else {}))
    row = '{"id": 1, "at": "2024-01-0%d", "labels": %s, "history": %s}\n'
    chain.put("a.jsonl", row % (1, '{"b": [1, null], "a": []}', "[null]"))
    assert chain.run("r1")["changed"]
    chain.put("b.jsonl", row % (2, '{"a": [], "b": [null, 1]}', '[{"n": null}]'))
    assert chain.run("r2")["changed"]
    (now,) = published(chain, ["labels", "history"]).values()
    assert now == {"labels": {"a": [], "b": [None, 1]}, "history": [{"n": None}]}
    if history:
        assert chain.rows(chain.table.history).count() == 2


UNLIKE: list[tuple[str, list[str]]] = [
    ("array<int>", ["NULL", "array()", "array(NULL)", "array(1, NULL)", "array(NULL, 1)", "array(1)"]),
    ("array<array<int>>", ["array(array(1), array(2))", "array(array(1, 2))", "array(array(1, 2), array())"]),
    ("array<string>", ["array('a, b')", "array('a', 'b')"]),
    ("struct<a:int,b:int>", ["NULL", "struct(NULL, NULL)", "struct(1, NULL)", "struct(NULL, 1)"]),
    (
        "map<string,int>",
        ["NULL", "map()", "map('a', NULL)", "map('a', 1)", "map('b', 1)", "map('a', 1, 'b', 2)"],
    ),
    (
        "array<map<string,map<string,int>>>",
        ["array(map('a', map()))", "array(map('a', NULL))", "array(map())"],
    ),
]


def test_values_are_alike_only_where_they_are_equal(spark: SparkSession) -> None:
    for kind, values in UNLIKE:
        type_ = data_type(kind)
        cast = [f"CAST({value} AS {kind})" for value in values]
        rows = spark.sql(" UNION ALL ".join(f"SELECT {value} AS v" for value in cast))
        form = F.expr(comparable("v", type_))
        assert rows.select(F.xxhash64(form, F.col("v").isNull())).distinct().count() == len(values), kind
        assert rows.select(form.alias("v")).distinct().count() == len(values), kind
        pairs = rows.alias("old").crossJoin(rows.alias("new"))
        unlike = pairs.where(differ(T.StructType([T.StructField("v", type_)]), ["v"])).count()
        assert unlike == len(values) * (len(values) - 1), kind
    maps = spark.sql("SELECT map('a', 1, 'b', NULL) AS v UNION ALL SELECT map('b', NULL, 'a', 1)")
    form = F.expr(comparable("v", data_type("map<string,int>")))
    assert maps.select(F.xxhash64(form)).distinct().count() == maps.select(form).distinct().count() == 1


def test_a_proposed_suite_says_which_values_are_there(spark: SparkSession) -> None:
    frame: DataFrame = spark.sql(
        "SELECT id, IF(id > 0, array(id), NULL) AS tags, map('a', id) AS rates, struct(id AS n) AS s "
        "FROM range(200)"
    )
    suite = propose(frame, "silver.orders", ["id"])
    present = [one["kwargs"] for one in suite["expectations"] if one["type"].endswith("not_be_null")]
    assert {"column": "tags", "mostly": 0.98} in present
    assert {"column": "rates"} in present
    assert {"column": "s"} in present
    verdict, _ = run_gate(frame, Suite.from_dict(suite), table="silver.orders", run="r1")
    assert verdict.passed
