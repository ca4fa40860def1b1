"""The Spark tasks of `build_airport_delays` without Airflow, and figures of views of delays."""

from __future__ import annotations

from typing import Any

from pyspark.sql import DataFrame, SparkSession

from millstream import jobs
from millstream.lake import history
from millstream.lake.tables import TableRef
from millstream.streams.served import BATCH
from millstream.streams.tables import Stream
from millstream.transforms.airport_delays_batch import FIGURES, KEY, aggregate
from tests.support.chain import suite_of

Figures = dict[tuple[Any, ...], tuple[int, ...]]


def build(spark: SparkSession, stream: Stream, run: str = "r1") -> dict[str, Any]:
    """The batch view of silver as it is, through gate and publish."""
    root = stream.lake_root

    def job(name: str, **arguments: Any) -> dict[str, Any]:
        return jobs.execute(spark, name, {"lake_root": root, "run": run, "table": str(BATCH), **arguments})

    version = history.read(stream.silver, root).published_version
    staged = job("build_features", inputs={str(stream.silver): version})
    judged = {name: staged[name] for name in ("staged_uri", "staged_version")}
    suite, inputs = suite_of(BATCH.name), staged["inputs"]
    job("quality_gate", **judged, suite=suite, inputs=inputs)
    newest = history.read(BATCH, root).accounts
    return job(
        "publish",
        **judged,
        suite=suite,
        rows_read=staged["rows"],
        inputs=inputs,
        load="full",
        partition_column=None,
        sequence=1 + (newest[0].sequence if newest else 0),
        code_version="test",
    )


def figures(rows: DataFrame) -> Figures:
    """By group, without the position."""
    found = rows.select(*KEY, *FIGURES).collect()
    named = {tuple(row[: len(KEY)]): tuple(row[len(KEY) :]) for row in found}
    assert len(named) == len(found)
    return named


def expected(spark: SparkSession, stream: Stream) -> Figures:
    """Those of all events that silver has."""
    return figures(aggregate(rows_of(spark, stream, stream.silver)))


def record_line(message: tuple[Any, ...], partition: int, offset: int) -> bytes:
    """A record in the form in which the MapReduce job reads it, written out once more."""
    key, value, headers, _ = message
    named = ",".join(f"{name.encode().hex()}:{str(text).encode().hex()}" for name, text in headers)
    key_text = "-" if key is None else key.encode().hex()
    return (
        "\t".join(
            (str(partition), str(offset), key_text, "-" if value is None else value.hex(), named)
        ).encode()
        + b"\n"
    )


def rows_of(spark: SparkSession, stream: Stream, table: TableRef) -> DataFrame:
    return spark.read.format("delta").load(table.uri(stream.lake_root))
