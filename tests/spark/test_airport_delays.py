"""The view made at once, the view kept up, and what is served of both: always the figures of all events."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from millstream.lake.storage import local_uri
from millstream.streams import delays
from millstream.streams.tables import Stream
from millstream.streams.views import BATCH, SCHEMA, SPEED, keep_up_speed_view, make_batch_view, served
from tests.support.broker import Message
from tests.support.streaming import PARTITIONS, commit, day_messages, records, stream
from tests.support.thorough import thorough

PARTS = 3


def parts() -> list[list[Message]]:
    sent = day_messages()[:200]
    return [sent[number::PARTS] for number in range(PARTS)]


def figures(rows: DataFrame) -> dict[tuple[Any, ...], tuple[int, ...]]:
    """By group, without the position."""
    found = rows.select(*(name for name in SCHEMA.fieldNames() if name != "as_of")).collect()
    named = {tuple(row[:3]): tuple(row[3:]) for row in found}
    assert len(named) == len(found)
    return named


def expected(spark: SparkSession, lake: Stream) -> dict[tuple[Any, ...], tuple[int, ...]]:
    return figures(delays.aggregate(spark.read.format("delta").load(lake.silver.uri(lake.lake_root))))


def of_both(spark: SparkSession, lake: Stream) -> DataFrame:
    for ref in (BATCH, SPEED):
        spark.read.format("delta").load(ref.uri(lake.lake_root)).createOrReplaceTempView(ref.name)
    return spark.sql(served(BATCH.name, SPEED.name))


@pytest.mark.parametrize("seed", [1, *thorough(2)])
def test_both_views_served_are_the_figures_of_all_events_in_whichever_order_they_are_made(
    spark: SparkSession, tmp_path: Path, seed: int
) -> None:
    lake, chance = stream(local_uri(tmp_path / "lake")), random.Random(seed)
    offsets = dict.fromkeys(range(PARTITIONS), 0)
    for number, part in enumerate(parts()):
        assert commit(lake, records(spark, part, offsets)) is not None
        for *_, partition in part:
            offsets[partition] += 1
        if number == 0:
            make_batch_view(spark, lake)
            keep_up_speed_view(spark, lake)
        for make in chance.sample([make_batch_view, keep_up_speed_view], chance.randrange(3)):
            make(spark, lake)
            assert figures(of_both(spark, lake)) == expected(spark, lake)
    keep_up_speed_view(spark, lake)
    assert figures(of_both(spark, lake)) == expected(spark, lake)
    assert keep_up_speed_view(spark, lake) is None
