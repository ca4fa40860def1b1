"""The Spark tasks of `build_airport_delays` without Airflow, and figures of views of delays."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from millstream import jobs
from millstream.lake import history
from millstream.lake.tables import TableRef
from millstream.quality.suites import suite_in
from millstream.settings import CHECKOUT
from millstream.streams.served import BATCH
from millstream.streams.tables import Stream
from millstream.transforms.airport_delays_batch import FIGURES, KEY, aggregate
from millstream_demo.flight_events import Event
from tests.support.chain import suite_of
from tests.support.streaming import DATASET, contract

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


def figures_of(events: Iterable[Event]) -> dict[tuple[str, str, datetime], dict[str, int]]:
    """By group (the hour in UTC), in plain Python from the events as they are sent."""
    found: dict[tuple[str, str, datetime], dict[str, int]] = defaultdict(lambda: dict.fromkeys(FIGURES, 0))
    for event in events:
        hour = event.event_time.replace(minute=0, second=0, microsecond=0)
        figures = found[event.value["origin"], event.value["carrier"], hour]
        kind = event.value["event_type"]
        figures[kind] += 1
        for name, field, late in (
            ("departed", "dep_delay", "late_departures"),
            ("arrived", "arr_delay", "late_arrivals"),
        ):
            if kind == name and event.value[field] is not None:
                total = "departure_delay_min" if name == "departed" else "arrival_delay_min"
                figures[total] += event.value[field]
                figures[late] += event.value[field] > 15
    return dict(found)


def served_of(events: Iterable[Event]) -> Figures:
    """The same as `figures` has them of what is served."""
    return {
        (airport, carrier, hour.replace(tzinfo=None)): tuple(of[name] for name in FIGURES)
        for (airport, carrier, hour), of in figures_of(events).items()
    }


def expected(spark: SparkSession, stream: Stream) -> Figures:
    """Those of all events that silver has."""
    return figures(aggregate(rows_of(spark, stream, stream.silver)))


def replay(spark: SparkSession, stream: Stream, servers: str, **arguments: Any) -> dict[str, Any]:
    """The task of `kappa_replay`."""
    given = {
        "lake_root": stream.lake_root,
        "run": "r1",
        "contract": contract().model_dump(mode="json"),
        "suite": suite_in(CHECKOUT, DATASET),
        "servers": servers,
        "home": "/none",
        "code_version": "test",
    }
    return jobs.execute(spark, "kappa_replay", {**given, **arguments})


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
