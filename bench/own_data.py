"""Own data: what reading files, a database and a mart cost, each beside its plain way.

    python -m bench.own_data [--rows 3000000] [--runs 2] [--part files --part new --part database]

Orders with a decimal, a time and a note. Files: to bronze, beside Spark's own read of the same files and its
write of a Delta table, for Parquet, JSON lines, and JSON lines with a list of records. `make new`: the look
at a CSV file of 1 GB. Database: a PostgreSQL of its own, one process that lands the table, beside a plain
SELECT by the same driver into a Parquet file; then a run that compares all keys because rows were deleted;
then a mart, judged and published, beside its SELECT written as a Delta table.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa
from pyspark.sql import SparkSession

from bench import machine
from bench.gate import session
from bench.sides import files_below
from millstream.marts import Mart, load_mart
from millstream.settings import CHECKOUT, Settings
from tests.support.marts import Marts
from tests.support.postgres_server import PostgresServer
from tests.support.updates import Shop, chain_of

TITLE = "Own data"
ROWS, RUNS, FILES = 3_000_000, 2, 4
PARTS = ("files", "new", "database")
BATCH_ROWS = 50_000
GIGABYTE = 1_000_000_000
COLUMNS: list[dict[str, Any]] = [
    {"name": "id", "type": "bigint"},
    {"name": "customer", "type": "int"},
    {"name": "amount", "type": "decimal(12,2)"},
    {"name": "changed", "type": "timestamp"},
    {"name": "note"},
]
LINES = {"name": "lines", "type": "array<struct<sku:string,count:int>>"}
FIRST_MICROS = 1_704_067_200_000_000
TABLE = """
    CREATE TABLE orders AS SELECT g AS id, (g * 7919 % 100000)::int AS customer,
        (g * 104729 % 10000000 / 100.0)::numeric(12, 2) AS amount,
        timestamp '2024-01-01' + g * interval '1 second' AS changed, 'order number ' || g AS note
    FROM generate_series(1, {rows}) AS g
"""
MART = """/*
description: What each hundredth customer has ordered.
*/
SELECT customer % 100 AS part, count(*) AS orders, sum(amount) AS amount, max(changed) AS newest
FROM silver.orders
GROUP BY ALL
"""
Figures = dict[str, dict[str, list[float]]]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _seconds(work: Callable[..., object], *arguments: Any) -> float:
    began = time.perf_counter()
    work(*arguments)
    return round(time.perf_counter() - began, 2)


def _orders(first: int, last: int, nested: bool) -> pa.Table:
    numbers = range(first, last)
    columns: dict[str, Any] = {
        "id": pa.array(numbers, pa.int64()),
        "customer": pa.array([one * 7919 % 100_000 for one in numbers], pa.int32()),
        "amount": pa.array([Decimal(one * 104_729 % 10_000_000).scaleb(-2) for one in numbers]).cast(
            pa.decimal128(12, 2)
        ),
        "changed": pa.array([FIRST_MICROS + one * 1_000_000 for one in numbers], pa.timestamp("us", "UTC")),
        "note": pa.array([f"order number {one}" for one in numbers]),
    }
    if nested:
        columns["lines"] = [[{"sku": f"s{one % 97}", "count": one % 9}] * (one % 3) for one in numbers]
    return pa.table(columns)


def _write(drop: Path, kind: str, rows: int) -> None:
    """The orders as `FILES` files."""
    for number in range(FILES):
        first, last = rows * number // FILES, rows * (number + 1) // FILES
        if kind == "parquet":
            pq.write_table(_orders(first, last, False), drop / f"orders_{number}.parquet")
            continue
        with (drop / f"orders_{number}.jsonl").open("w") as out:
            for start in range(first, last, BATCH_ROWS):
                block = _orders(start, min(start + BATCH_ROWS, last), kind == "nested jsonl").to_pylist()
                out.writelines(f"{json.dumps(row, default=_text)}\n" for row in block)


def _text(value: Any) -> str:
    return f"{value:%Y-%m-%dT%H:%M:%SZ}" if hasattr(value, "year") else str(value)


def files(spark: SparkSession, scratch: Path, rows: int, runs: int) -> Figures:
    """Seconds of each run of bronze and of Spark's own way, by kind of file, after one of each untimed."""
    figures: Figures = {}
    for kind in ("parquet", "jsonl", "nested jsonl"):
        folder = scratch / kind.replace(" ", "_")
        folder.mkdir()
        columns = [*COLUMNS, LINES] if kind.startswith("nested") else COLUMNS
        name = kind.split()[-1]
        declared = {
            "dataset": "orders",
            "source": {
                "kind": "files", "connection": "drop", "format": name, "path": f"orders_*.{name}",
                "quiet_seconds": 0,
            },
            "load": "full",
            "primary_key": ["id"],
            "columns": columns,
        }  # fmt: skip
        chain = chain_of(spark, folder, declared)
        _write(chain.drop, kind, rows)
        _, size = files_below(chain.drop)
        schema = ", ".join(f"{one['name']} {one.get('type', 'string')}" for one in columns)
        ours, plain = f"{kind} ({size / 1e6:.0f} MB)", f"{kind}, Spark's own"
        figures[ours], figures[plain] = {"bronze": []}, {"bronze": []}
        for number in range(runs + 1):
            run, table = f"r{number}", folder / f"plain{number}"
            chain.land(run, [])
            took = _seconds(chain.load_bronze, run)
            reader = spark.read.schema(schema).format("json" if name == "jsonl" else name)
            loaded = reader.load(str(chain.drop))
            beside = _seconds(loaded.write.format("delta").save, str(table))
            counted = spark.read.format("delta").load(str(table)).count()
            assert counted == rows, (kind, counted)
            if number:
                figures[ours]["bronze"].append(took)
                figures[plain]["bronze"].append(beside)
            _say(f"{kind}: {took} s, Spark's own {beside} s")
        shutil.rmtree(folder)
    return figures


def new(scratch: Path) -> dict[str, float]:
    """Seconds of `make new` for a CSV file of 1 GB, as a command, and the file's gigabytes."""
    path = scratch / "orders.csv"
    with path.open("wb") as out:
        out.write(b"id,customer,amount,changed,note\n")
        number = 0
        while out.tell() < GIGABYTE:
            out.write(
                b"".join(
                    b"%d,%d,%d.%02d,2024-01-%02d,order number %d\n"
                    % (one, one * 7919 % 100_000, one % 10_000, one % 100, one % 28 + 1, one)
                    for one in range(number, number + BATCH_ROWS)
                )
            )
            number += BATCH_ROWS
    project = scratch / "project"
    command = [sys.executable, "-m", "millstream_stack"]
    subprocess.run([*command, "new-project", str(project)], check=True, capture_output=True, cwd=CHECKOUT)
    asked = [*command, "new", "--dataset", "orders", "--from", str(path)]
    environment = {**os.environ, "MILLSTREAM_PROJECT": str(project)}
    began = time.perf_counter()
    subprocess.run(asked, check=True, capture_output=True, cwd=CHECKOUT, env=environment)
    took = round(time.perf_counter() - began, 2)
    assert (project / "dags" / "datasets" / "orders.yaml").is_file()
    gigabytes = path.stat().st_size / 1e9
    path.unlink()
    _say(f"make new: {took} s")
    return {"seconds": took, "gigabytes": gigabytes}


def _selected(engine: sa.Engine, path: Path) -> int:
    """All rows by one SELECT of the same driver, in batches, to a Parquet file."""
    schema = pa.schema(
        {
            "id": pa.int64(), "customer": pa.int32(), "amount": pa.decimal128(12, 2),
            "changed": pa.timestamp("us"), "note": pa.string(),
        }
    )  # fmt: skip
    rows = 0
    with engine.connect() as connection, pq.ParquetWriter(path, schema) as writer:
        found = connection.execution_options(stream_results=True, yield_per=BATCH_ROWS).execute(
            sa.text("SELECT id, customer, amount, changed, note FROM orders")
        )
        for batch in found.partitions():
            columns = zip(*batch, strict=True)
            writer.write_table(
                pa.table(
                    [pa.array(one, field.type) for one, field in zip(columns, schema, strict=True)], schema
                )
            )
            rows += len(batch)
    return rows


def database(spark: SparkSession, scratch: Path, rows: int, runs: int) -> Figures:
    """Seconds of each run, by what was done."""
    server = PostgresServer(_made(scratch / "postgres"))
    server.start()
    try:
        declared = {
            "dataset": "orders",
            "source": {
                "kind": "sql", "connection": "shop", "table": "orders", "key": "id", "watermark": "changed",
            },
            "load": "watermark",
            "deletes": "compare_keys",
            "primary_key": ["id"],
            "columns": COLUMNS,
        }  # fmt: skip
        chain = chain_of(spark, _made(scratch / "chain"), declared)
        shop = Shop(chain, server.url.render_as_string(hide_password=False))
        shop.execute(TABLE.format(rows=rows), "ALTER TABLE orders ADD PRIMARY KEY (id)", "ANALYZE orders")
        return {
            **_landed(shop, scratch, rows, runs),
            **_deleted(shop, rows),
            **_mart(spark, Marts(chain), scratch, runs),
        }
    finally:
        server.stop()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _landed(shop: Shop, scratch: Path, rows: int, runs: int) -> Figures:
    ours: list[float] = []
    plain: list[float] = []
    for number in range(runs):
        ours.append(_seconds(shop.land, f"land{number}"))
        path = scratch / "plain.parquet"
        plain.append(_seconds(_selected, shop.engine, path))
        assert pq.read_metadata(path).num_rows == rows
        path.unlink()
        _say(f"table: {ours[-1]} s, SELECT {plain[-1]} s")
    return {"table of PostgreSQL": {"landed": ours}, "table of PostgreSQL, plain SELECT": {"landed": plain}}


def _deleted(shop: Shop, rows: int) -> Figures:
    """A run that finds a thousandth of the rows gone, and the first one, which loads them all."""
    first = _seconds(shop.run, "first")
    shop.execute("DELETE FROM orders WHERE id % 1000 = 7")
    gone = rows // 1000
    began = time.perf_counter()
    reached = shop.land("second")
    land = round(time.perf_counter() - began, 2)
    assert reached is not None
    publish = _seconds(shop.publish, "second", reached)
    assert shop.chain.rows().count() == rows - gone
    _say(f"first {first} s; keys listed {land} s, compared and published {publish} s")
    return {
        "first run": {"all": [first]},
        "keys compared": {"listed": [land], "compared and published": [publish]},
    }


def _mart(spark: SparkSession, marts: Marts, scratch: Path, runs: int) -> Figures:
    project = scratch / "mart"
    (project / "marts").mkdir(parents=True)
    (project / "marts" / "orders_by_part.sql").write_text(MART)
    mart: Mart = load_mart(project, "orders_by_part")
    statement = mart.query({"silver.orders": "plain_orders"})
    ours: list[float] = []
    plain: list[float] = []

    def by_hand(table: Path) -> None:
        marts.chain.rows().createOrReplaceTempView("plain_orders")
        spark.sql(statement).write.format("delta").save(str(table))

    for number in range(runs + 1):
        took = _seconds(marts.run, f"mart{number}", mart)
        beside = _seconds(by_hand, scratch / f"mart{number}")
        if number:
            ours.append(took)
            plain.append(beside)
        _say(f"mart: {took} s, SELECT {beside} s")
    return {"mart": {"built, judged, published": ours}, "mart, SELECT written": {"written": plain}}


def run(rows: int = ROWS, runs: int = RUNS, parts: tuple[str, ...] = PARTS) -> dict[str, Any]:
    """Figures for `markdown`."""
    home = Settings().home / "tmp"
    home.mkdir(parents=True, exist_ok=True)
    figures: Figures = {}
    looked: dict[str, float] = {}
    with tempfile.TemporaryDirectory(dir=home) as folder:
        scratch = Path(folder)
        if "new" in parts:
            looked = new(scratch)
        spark = session(scratch)
        try:
            if "files" in parts:
                figures |= files(spark, scratch, rows, runs)
            if "database" in parts:
                figures |= database(spark, scratch, rows, runs)
        finally:
            spark.stop()
    return {"machine": machine.describe(), "rows": rows, "figures": figures, "new": looked}


def _lines(result: dict[str, Any]) -> Iterator[str]:
    rows = result["rows"]
    for name, steps in result["figures"].items():
        for step, each in steps.items():
            median = statistics.median(each)
            seconds = " ".join(f"{value:.1f}" for value in each)
            yield f"| {name}: {step} | {seconds} | {median:.1f} | {rows / median:,.0f} |"


def markdown(result: dict[str, Any]) -> str:
    """The result as a table for bench/results."""
    lines = [
        f"{result['machine']}; Spark local[2], 4 GiB; {result['rows']:,} orders.",
        "",
        "| | runs, s | median, s | rows/s |",
        "|---|---|---:|---:|",
        *_lines(result),
    ]
    if result["new"]:
        lines += [
            "",
            "`make new` for a CSV file of {gigabytes:.2f} GB: {seconds:.1f} s.".format(**result["new"]),
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--part", action="append", choices=PARTS, help="only these; default: all")
    asked = parser.parse_args()
    print(markdown(run(asked.rows, asked.runs, tuple(asked.part or PARTS))))
