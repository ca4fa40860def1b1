"""Months of real flights by events and by files: the same rows through all four ways, at their real size.

Those of January, or of as many days as `--days` says; 365 are the year. The demo's own source sends the
events as fast as it can; the stream's own process reads them in two halves, with a batch view made between
them. The stack's own Spark server ingests the monthly files and runs the jobs.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from millstream.lake import history
from millstream.lake.tables import TableRef
from millstream.settings import Settings
from millstream.streams import served
from millstream.streams.tables import Stream
from millstream.streams.views import served_rows
from millstream.transforms.airport_delays_batch import AS_OF
from millstream_demo.event_source import DEAD_LETTER, EventSource
from millstream_demo.flight_events import Event, events_of
from millstream_demo.flights import publish_flights
from millstream_stack.services.stream_process import properties_path
from tests.support import spark_server
from tests.support.airport_delays import build, figures, replay, served_of
from tests.support.broker import RunningBroker, started
from tests.support.chain import Chain, contract_of, small_suite
from tests.support.compared_lake import CHANGES, Change, ComparedLake
from tests.support.flights_rows import POSITIVE_DISTANCE
from tests.support.steps import Steps
from tests.support.streaming import StreamProcess, stream

# The first test waits for what all of them need.
pytestmark = [pytest.mark.thorough, pytest.mark.timeout(7200)]

FIRST = date(2013, 1, 1)
READ_S = 3600.0


class Months:
    """A lake that gets the same flights by files and by events, and what was sent."""

    def __init__(self, spark: SparkSession, broker: RunningBroker, settings: Settings, count: int) -> None:
        self.spark, self.broker, self.settings = spark, broker, settings
        self.days = [FIRST + timedelta(days=number) for number in range(count)]
        self.chain = Chain(spark, settings.home, contract_of("flights"), small_suite(POSITIVE_DISTANCE))
        self.steps = Steps()
        self.sent = 0
        # Of bronze, and the position of silver, after the first half.
        self.archived, self.half = 0, 0

    @property
    def stream(self) -> Stream:
        return stream(self.chain.root)

    def make(self) -> None:
        step = self.steps.step
        publish_flights(self.settings.home)
        with step("files to silver.flights"):
            self.chain.run("r1", sorted({f"{day:%Y-%m}" for day in self.days}))
        middle = len(self.days) // 2
        self._send_and_read("first half", self.days[:middle])
        self.archived = history.version(self.stream.bronze, self.chain.root) or 0
        self.half = self.sent
        with step("batch view of the first half"):
            build(self.spark, self.stream)
        self._send_and_read("second half", self.days[middle:])
        self.lake = ComparedLake(self.spark, self.settings.home, self.days[0], self.days[-1])
        with step("records to text, MapReduce"):
            self.lake.reduce()

    def _send_and_read(self, which: str, days: list[date]) -> None:
        source = EventSource(self.broker.servers, lambda _: None)
        source.ensure_topics()
        with self.steps.step(f"{which}: events to Kafka"):
            self.sent += sum(source.send_day(day, math.inf) for day in days)
        with self.steps.step(f"{which}: Kafka to bronze, silver and the view"):
            process = StreamProcess(
                *(self.broker, self.chain.root, self.settings.home, "--available-now"),
                dead_letter=DEAD_LETTER,
                conf=properties_path(self.settings),
            )
            try:
                assert process.wait(READ_S) == 0, process.log.read_text()[-4000:]
            finally:
                process.end()

    def events(self) -> Iterator[Event]:
        for day in self.days:
            yield from events_of(day)


@pytest.fixture(scope="module")
def months(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Months]:
    home = tmp_path_factory.mktemp("months")
    with started(home / "kafka") as broker, spark_server.connected(home) as (settings, spark):
        made = Months(spark, broker, settings, pytestconfig.getoption("--days"))
        made.make()
        yield made
    reporter: Any = pytestconfig.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line(f"\n{len(made.days)} days, {made.sent} events")
        for step in made.steps.ended:
            reporter.write_line(str(step))


def test_all_four_ways_come_to_the_same_rows(months: Months) -> None:
    lake, sent = months.lake, months.sent
    account = months.stream.newest(months.stream.silver)
    assert account is not None
    assert account.offsets is not None
    assert account.offsets.position == sent
    expected = served_of(months.events())

    with months.steps.step("compare_views"):
        result = lake.compare_reduced()
    assert result["different"] == 0
    assert result["position"] == sent
    assert result["events"] == {"silver": sent, "mapreduce": sent}
    assert result["groups"] == dict.fromkeys(("kappa", "lambda", "mapreduce"), len(expected))
    flights = sum(event.value["event_type"] == "scheduled" for event in months.events())
    assert result["flights"] == dict.fromkeys(("events", "files"), flights)
    assert result["days"] == [str(months.days[0]), str(months.days[-1])]
    assert months.broker.received(DEAD_LETTER) == []

    # Lambda is a mixture: rows of both views are served.
    rows = served_rows(months.spark, lake.root).persist()
    assert {months.half, sent} <= {row[AS_OF] for row in rows.select(AS_OF).distinct().collect()}
    assert figures(rows) == expected
    rows.unpersist()


def test_the_view_replayed_from_bronze_and_then_kafka_is_the_live_one(months: Months) -> None:
    with months.steps.step("kappa_replay"):
        result = replay(months.spark, months.stream, months.broker.servers, archived=months.archived)
    assert result["position"] == months.sent
    assert result["groups"]["live"] == result["groups"]["rebuilt"]
    assert sum(result["from_kafka"].values()) == months.half
    assert served.speed_view(months.lake.root) == TableRef.parse(result["table"]) != served.SPEED


@pytest.mark.parametrize("change", CHANGES)
def test_one_event_that_is_changed_is_named_with_its_group(
    months: Months, change: Change, tmp_path: Path
) -> None:
    # What was landed, and what MapReduce has read, is the most of it and not read any more.
    read_before = shutil.ignore_patterns("landing", "input")
    shutil.copytree(months.lake.folder, tmp_path / "lake", ignore=read_before)
    lake = ComparedLake(months.spark, tmp_path, months.days[0], months.days[-1])
    events = events_of(months.days[len(months.days) // 3])
    chosen = next(event for event in events[len(events) // 2 :] if event.value["event_type"] == "departed")
    with months.steps.step(f"one event {change}: batch view, compare_views"):
        lake.assert_named(change, chosen.event_id, reduced=True)
