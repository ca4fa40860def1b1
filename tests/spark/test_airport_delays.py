"""The view made at once, the view kept up, and what is served of both: always the figures of all events."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import duckdb
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from millstream.lake import history
from millstream.lake.storage import local_uri
from millstream.streams import served
from millstream.streams.served import BATCH, SPEED
from millstream.streams.tables import Stream
from millstream.streams.views import keep_up_speed_view, served_rows
from millstream.transforms.airport_delays_batch import AS_OF, FIGURES, KEY
from tests.support.airport_delays import build, expected, figures, rows_of
from tests.support.broker import Message
from tests.support.streaming import PARTITIONS, commit, day_messages, records, stream
from tests.support.thorough import thorough

PARTS = 3


def parts() -> list[list[Message]]:
    sent = day_messages()[:200]
    return [sent[number::PARTS] for number in range(PARTS)]


class Topic:
    """A topic of which the stream reads one part after the other."""

    def __init__(self, spark: SparkSession, lake: Stream) -> None:
        self._spark, self._lake = spark, lake
        self._next = dict.fromkeys(range(PARTITIONS), 0)

    def commit(self, part: list[Message]) -> None:
        assert commit(self._lake, records(self._spark, part, self._next)) is not None
        for *_, partition in part:
            self._next[partition] += 1


@pytest.mark.parametrize("seed", thorough(1, 2))
def test_both_views_served_are_the_figures_of_all_events_in_whichever_order_they_are_made(
    spark: SparkSession, tmp_path: Path, seed: int
) -> None:
    lake, chance = stream(local_uri(tmp_path / "lake")), random.Random(seed)
    topic = Topic(spark, lake)
    for number, part in enumerate(parts()):
        topic.commit(part)
        if number == 0:
            build(spark, lake, f"r{number}")
            keep_up_speed_view(spark, lake)
        for make in chance.sample([build, keep_up_speed_view], chance.randrange(3)):
            make(spark, lake)
            assert figures(served_rows(spark, lake.lake_root)) == expected(spark, lake)
    keep_up_speed_view(spark, lake)
    assert figures(served_rows(spark, lake.lake_root)) == expected(spark, lake)
    assert keep_up_speed_view(spark, lake) is None


def test_the_batch_view_is_that_of_its_pinned_version_and_goes_before_older_rows(
    spark: SparkSession, tmp_path: Path
) -> None:
    lake = stream(local_uri(tmp_path / "lake"))
    topic, (first, second, *_) = Topic(spark, lake), parts()
    topic.commit(first)
    keep_up_speed_view(spark, lake)
    assert served.sources(lake.lake_root) == (SPEED,)
    assert figures(served_rows(spark, lake.lake_root)) == expected(spark, lake)
    topic.commit(second)
    published = build(spark, lake)

    assert published["written"] == rows_of(spark, lake, BATCH).count()
    assert {row[AS_OF] for row in rows_of(spark, lake, BATCH).collect()} == {len(first) + len(second)}
    account = history.read(BATCH, lake.lake_root).accounts[0]
    assert account.inputs == {str(lake.silver): history.version(lake.silver, lake.lake_root)}
    assert {row[AS_OF] for row in rows_of(spark, lake, SPEED).collect()} == {len(first)}
    assert figures(served_rows(spark, lake.lake_root)) == expected(spark, lake)


def test_duckdb_serves_the_same_rows_by_the_same_sql(spark: SparkSession, tmp_path: Path) -> None:
    lake = stream(local_uri(tmp_path / "lake"))
    topic, (first, second, *_) = Topic(spark, lake), parts()
    topic.commit(first)
    build(spark, lake)
    keep_up_speed_view(spark, lake)
    topic.commit(second)
    keep_up_speed_view(spark, lake)

    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for table in (BATCH, SPEED):
        rows = DeltaTable(table.uri(lake.lake_root)).to_pyarrow_table()
        connection.register(table.name, rows)
    answer = connection.sql(served.query([BATCH.name, SPEED.name])).to_arrow_table().to_pylist()
    found = {
        (*(_plain(row[name]) for name in KEY), row[AS_OF]): tuple(row[name] for name in FIGURES)
        for row in answer
    }
    by_spark = served_rows(spark, lake.lake_root).collect()
    assert found == {
        (*(row[name] for name in KEY), row[AS_OF]): tuple(row[name] for name in FIGURES) for row in by_spark
    }
    assert {row[AS_OF] for row in by_spark} == {len(first), len(first) + len(second)}


def _plain(value: Any) -> Any:
    return value.replace(tzinfo=None) if hasattr(value, "tzinfo") else value
