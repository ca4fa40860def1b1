"""Lambda, Kappa, MapReduce and the monthly file agree on a day of real events; what is changed is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from millstream.errors import ClusterError
from millstream.lake.storage import local_uri
from millstream.streams import compared, pins
from millstream.streams.commits import Committer, bronze_rows
from millstream.streams.served import SPEED
from millstream.streams.views import keep_up_speed_view, served_rows
from millstream.transforms.airport_delays_batch import AS_OF
from millstream_demo import reference
from tests.streams.test_bad_records import broken
from tests.support.airport_delays import build, rows_of
from tests.support.chain import Chain, contract_of, month_zip, small_suite
from tests.support.compared_lake import CHANGES, Change, ComparedLake
from tests.support.flights_rows import POSITIVE_DISTANCE
from tests.support.streaming import (
    DAY,
    PARTITIONS,
    TOPIC_ID,
    altered,
    commit,
    day_messages,
    event_ids,
    records,
    stream,
)
from tests.support.thorough import thorough

pytestmark = pytest.mark.timeout(600)

MONTH = "2013-01"
CHOSEN = next(one for one in event_ids(day_messages()) if one.endswith("/departed"))
FLIGHT = CHOSEN.removesuffix("/departed")


@pytest.fixture(scope="module")
def day(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with the day's events, broken and doubled ones among them, both views, and the monthly file."""
    folder = tmp_path_factory.mktemp("day")
    start = f"{DAY.year},{DAY.month},{DAY.day},".encode()
    lines = [line.decode().strip() for line in reference.flight_lines() if line.startswith(start)]
    chain = Chain(spark, folder, contract_of("flights"), small_suite(POSITIVE_DISTANCE))
    chain.put(f"flights/flights_{MONTH}.csv.zip", month_zip(*lines))
    chain.run("r1", [MONTH])
    lake, sent = stream(chain.root), day_messages()
    half = len(sent) // 2
    commit(lake, records(spark, sent[:half]))
    build(spark, lake)
    keep_up_speed_view(spark, lake)
    ends = [sum(1 for *_, partition in sent[:half] if partition == number) for number in range(PARTITIONS)]
    hostile = [(*message[:3], 0) for message, _ in broken(sent[100])]
    # Sent again, and again with other contents.
    again = [*sent[:20], altered(sent[0], flight=9)]
    assert commit(lake, records(spark, [*sent[half:], *hostile, *again], dict(enumerate(ends)))) is not None
    assert keep_up_speed_view(spark, lake) is not None
    return folder


@pytest.fixture
def lake(spark: SparkSession, day: Path, tmp_path: Path) -> ComparedLake:
    shutil.copytree(day / "lake", tmp_path / "lake")
    return ComparedLake(spark, tmp_path, DAY, DAY)


def test_a_day_of_real_events_is_the_same_on_every_side(lake: ComparedLake) -> None:
    sent = len(day_messages())
    result = lake.compare()
    assert result["different"] == 0
    assert result["events"] == {"silver": sent, "mapreduce": sent}
    groups = rows_of(lake.spark, lake.stream, SPEED).count()
    assert result["groups"] == dict.fromkeys(("kappa", "lambda", "mapreduce"), groups)
    assert groups > 300
    flights = rows_of(lake.spark, lake.stream, pins.FLIGHTS).count()
    assert result["flights"] == {"events": flights, "files": flights}
    # Lambda is a mixture: rows of both views are served.
    half = len(day_messages()) // 2
    assert {row[AS_OF] for row in served_rows(lake.spark, lake.root).collect()} == {half, result["position"]}
    assert compared.read(lake.root) == compared.Comparison.model_validate(result)


@pytest.mark.parametrize("change", [CHANGES[0], *thorough(*CHANGES[1:])])
def test_one_event_that_is_changed_in_silver_is_named_with_its_group(
    lake: ComparedLake, change: Change
) -> None:
    lake.assert_named(change, CHOSEN)


def test_a_view_that_was_made_of_other_events_is_named_with_the_events_behind_its_row(
    lake: ComparedLake,
) -> None:
    group = lake.group_of(CHOSEN)
    lake.alter(CHOSEN, 1)
    build(lake.spark, lake.stream, "r2")
    lake.alter(CHOSEN, -1)
    ((kind, key, ids),) = lake.differences()
    assert (kind, key) == ("group", group)
    assert CHOSEN in ids
    assert len(ids) > 1


def test_a_flight_that_its_file_has_otherwise_is_named_with_its_events(lake: ComparedLake) -> None:
    day, carrier, number, origin = FLIGHT.split("/")
    lake.spark.sql(
        f"UPDATE delta.`{pins.FLIGHTS.uri(lake.root)}` SET dep_delay_min = dep_delay_min + 1 WHERE "
        f"flight_date = '{day}' AND carrier = '{carrier}' AND flight = {number} AND origin = '{origin}'"
    )
    ((kind, key, ids),) = lake.differences()
    assert (kind, key) == ("flight", FLIGHT)
    assert CHOSEN in ids
    assert all(one.startswith(FLIGHT) for one in ids)


def test_bronze_that_is_behind_has_to_catch_up(lake: ComparedLake, spark: SparkSession) -> None:
    shutil.rmtree(lake.folder / "bronze" / "flight_events")
    committer = Committer(lake.stream, lambda: TOPIC_ID)
    begun = dict.fromkeys(range(PARTITIONS), 0)
    committer.bronze(bronze_rows(records(spark, day_messages()[:10])), begun)
    with pytest.raises(ClusterError, match="it has to catch up first"):
        pins.pin(lake.root)


def test_without_a_stream_there_is_nothing_to_compare(tmp_path: Path) -> None:
    assert pins.pin(local_uri(tmp_path)) is None
