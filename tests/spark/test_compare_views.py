"""Lambda, Kappa, MapReduce and the monthly file agree on a day of real events; what is changed is named."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from millstream import jobs
from millstream.engines.mapreduce import AIRPORT_DELAYS, LocalRunner
from millstream.errors import ClusterError, ReconciliationError
from millstream.lake.storage import local_uri
from millstream.lake.tables import text_folders
from millstream.settings import Settings
from millstream.streams import compared, pins
from millstream.streams.commits import Committer, bronze_rows
from millstream.streams.served import SPEED
from millstream.streams.views import keep_up_speed_view, served_rows
from millstream.transforms.airport_delays_batch import AS_OF
from millstream_demo import reference
from tests.streams.test_bad_records import broken
from tests.support.airport_delays import build, rows_of
from tests.support.chain import Chain, contract_of, month_zip, small_suite
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
DAYS = {"first_day": str(DAY), "last_day": str(DAY)}
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


class Lake:
    """A copy of the day's lake, whose comparison is the DAG's tasks one after the other."""

    def __init__(self, spark: SparkSession, folder: Path) -> None:
        self.spark, self.stream = spark, stream(local_uri(folder / "lake"))
        self.folder, self.root = folder / "lake", self.stream.lake_root

    def compare(self, **days: str) -> dict[str, Any]:
        pinned = pins.pin(self.root)
        assert pinned is not None
        arguments = {"lake_root": self.root, "run": "r1", "pins": pinned.model_dump(mode="json")}
        exported = jobs.execute(self.spark, "export_records", arguments)
        assert exported["rows"] == pinned.offsets.position
        folders = text_folders(AIRPORT_DELAYS.name, "r1")
        output = self.folder / folders.output
        shutil.rmtree(output, ignore_errors=True)
        runner = LocalRunner(jars=Settings().root / ".millstream" / "jars", scratch=output.parent)
        runner.run(AIRPORT_DELAYS, self.folder / folders.input, output)
        return jobs.execute(self.spark, "compare_views", {**arguments, **(days or DAYS)})

    def differences(self) -> list[tuple[str, str, tuple[str, ...]]]:
        """Kind, key and events of each, by the stored comparison; the job has failed for them."""
        with pytest.raises(ReconciliationError) as error:
            self.compare()
        stored = compared.read(self.root)
        assert stored is not None
        assert all(str(one) in str(error.value) for one in stored.differences)
        assert stored.different == len(stored.differences)
        return [(one.kind, one.key, one.event_ids) for one in stored.differences]

    def change(self, statement: str) -> None:
        self.spark.sql(statement.format(silver=f"delta.`{self.stream.silver.uri(self.root)}`"))


@pytest.fixture
def lake(spark: SparkSession, day: Path, tmp_path: Path) -> Lake:
    shutil.copytree(day / "lake", tmp_path / "lake")
    return Lake(spark, tmp_path)


def test_a_day_of_real_events_is_the_same_on_every_side(lake: Lake) -> None:
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


def group_of(lake: Lake, event_id: str) -> str:
    where = F.col("event_id") == event_id
    row = rows_of(lake.spark, lake.stream, lake.stream.silver).where(where).collect()[0]
    return f"{row['origin']}/{row['carrier']}/{row['event_time'].replace(minute=0, second=0)}"


CHANGES = {
    "dropped": "DELETE FROM {silver} WHERE event_id = '" + CHOSEN + "'",
    "altered": "UPDATE {silver} SET dep_delay_min = dep_delay_min + 1 WHERE event_id = '" + CHOSEN + "'",
    "doubled": "INSERT INTO {silver} SELECT * FROM {silver} WHERE event_id = '" + CHOSEN + "'",
}


@pytest.mark.parametrize("change", ["altered", *thorough("dropped", "doubled")])
def test_one_event_that_is_changed_in_silver_is_named_with_its_group(lake: Lake, change: str) -> None:
    group = group_of(lake, CHOSEN)
    lake.change(CHANGES[change])
    # Of the stream's view and this one, which are of one position, this one is served.
    build(lake.spark, lake.stream, "r2")
    found = lake.differences()
    assert found[:2] == [("group", group, (CHOSEN,)), ("event", CHOSEN, (CHOSEN,))]
    flights = [] if change == "doubled" else [("flight", FLIGHT)]
    assert [one[:2] for one in found[2:]] == flights
    assert all(event_id.startswith(FLIGHT) for *_, ids in found[2:] for event_id in ids)


def test_a_view_that_was_made_of_other_events_is_named_with_the_events_behind_its_row(lake: Lake) -> None:
    group = group_of(lake, CHOSEN)
    lake.change(CHANGES["altered"])
    build(lake.spark, lake.stream, "r2")
    lake.change("UPDATE {silver} SET dep_delay_min = dep_delay_min - 1 WHERE event_id = '" + CHOSEN + "'")
    ((kind, key, ids),) = lake.differences()
    assert (kind, key) == ("group", group)
    assert CHOSEN in ids
    assert len(ids) > 1


def test_a_flight_that_its_file_has_otherwise_is_named_with_its_events(lake: Lake) -> None:
    day, carrier, number, origin = FLIGHT.split("/")
    lake.spark.sql(
        f"UPDATE delta.`{pins.FLIGHTS.uri(lake.root)}` SET dep_delay_min = dep_delay_min + 1 WHERE "
        f"flight_date = '{day}' AND carrier = '{carrier}' AND flight = {number} AND origin = '{origin}'"
    )
    ((kind, key, ids),) = lake.differences()
    assert (kind, key) == ("flight", FLIGHT)
    assert CHOSEN in ids
    assert all(one.startswith(FLIGHT) for one in ids)


def test_bronze_that_is_behind_has_to_catch_up(lake: Lake, spark: SparkSession) -> None:
    shutil.rmtree(lake.folder / "bronze" / "flight_events")
    committer = Committer(lake.stream, lambda: TOPIC_ID)
    begun = dict.fromkeys(range(PARTITIONS), 0)
    committer.bronze(bronze_rows(records(spark, day_messages()[:10])), begun)
    with pytest.raises(ClusterError, match="it has to catch up first"):
        pins.pin(lake.root)


def test_without_a_stream_there_is_nothing_to_compare(tmp_path: Path) -> None:
    assert pins.pin(local_uri(tmp_path)) is None
