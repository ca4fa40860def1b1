"""A stream's process is killed with -9 while it scores: each flight that was due has one prediction."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from millstream.contracts.sources.kafka import ARRIVAL_DELAY_LIVE
from millstream.errors import ClusterError
from millstream.lake import history
from millstream.lake.storage import Storage, local_uri
from millstream.streams import snapshot
from millstream.streams.live_features import announced
from millstream.streams.scoring import TABLE
from millstream.transforms.arrival_delay_features import KEY, features
from millstream_demo.flight_events import events_of
from tests.support.broker import RunningBroker, started
from tests.support.fault_report import Report
from tests.support.harness import after_seconds
from tests.support.live_scoring import Registry, delivered, promote, publish_before, two_models
from tests.support.mlflow_server import MlflowServer, tracking_server
from tests.support.streaming import DATASET, TOPIC, VICTIMS, StreamProcess, messages, stream
from tests.support.waiting import until

pytestmark = [
    pytest.mark.spark,
    pytest.mark.mlflow,
    pytest.mark.fault,
    pytest.mark.thorough,
    pytest.mark.timeout(1800),
]

DAY = date(2013, 1, 4)
KILLS, FEWEST = 3, 1
REACHED_S = 400.0
# A round of scoring takes some seconds, the first, in a cold Java machine, some more.
LONGEST_S = 10.0


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[RunningBroker]:
    folder = tmp_path / "kafka"
    folder.mkdir()
    with started(folder) as server:
        yield server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MlflowServer]:
    folder = tmp_path / "mlflow"
    folder.mkdir()
    with tracking_server(folder) as running:
        yield running


def test_a_stream_that_is_killed_while_it_scores_loses_and_doubles_nothing(
    spark: SparkSession,
    broker: RunningBroker,
    server: MlflowServer,
    tmp_path: Path,
    seed: int,
    report: Report,
    request: pytest.FixtureRequest,
) -> None:
    chance, root = random.Random(seed), local_uri(tmp_path / "lake")
    tables = delivered(spark, DAY)
    batch = features(tables).persist()
    promote(Registry(root, batch).register(two_models(batch)[0], "m"))
    publish_before(tables, DAY, root)
    broker.create(TOPIC)
    sent = messages(events_of(DAY))
    kills = KILLS if request.config.getoption("--fault-seeds") else FEWEST
    size = len(sent) // (kills + 1) + 1
    parts = [sent[first : first + size] for first in range(0, len(sent), size)]

    def scores(process: StreamProcess) -> bool:
        assert process.process.poll() is None, process.log.read_text()[-4000:]
        return _is_locked(root)

    with report.run("stream killed while it scores") as outcome:
        for part in parts[:-1]:
            process = StreamProcess(broker, root, tmp_path, views=[ARRIVAL_DELAY_LIVE])
            request.addfinalizer(process.end)
            broker.send(TOPIC, part)
            until(lambda process=process: scores(process), REACHED_S, f"scoring: {process.log}")
            until(after_seconds(chance.uniform(0, LONGEST_S)), LONGEST_S + 1, "the moment")
            process.kill(chance.choice(VICTIMS))
        broker.send(TOPIC, parts[-1])
        killed = time.monotonic()
        process = StreamProcess(broker, root, tmp_path, "--available-now", views=[ARRIVAL_DELAY_LIVE])
        request.addfinalizer(process.end)
        assert process.wait(REACHED_S) == 0, process.log.read_text()[-4000:]
        outcome.recovery_s = time.monotonic() - killed

        shown = snapshot.read(root, DATASET)
        assert shown is not None
        assert shown.predictions is not None
        assert shown.predictions.reason == "", shown.predictions
        assert shown.predictions.until is not None
        predicted = spark.read.format("delta").load(TABLE.uri(root))
        rows = [tuple(row) for row in predicted.select(*KEY).collect()]
        events = spark.read.format("delta").load(stream(root).silver.uri(root))
        due = batch.where(F.unix_seconds("cutoff_utc") <= _seconds(shown.predictions.until))
        expected = {
            tuple(row) for row in due.join(announced(events), list(KEY), "left_semi").select(*KEY).collect()
        }
        outcome.lost = len(expected - set(rows))
        outcome.doubled = len(rows) - len(set(rows))
        assert (outcome.lost, outcome.doubled) == (0, 0)
        assert set(rows) == expected
        assert sum(account.written for account in history.read(TABLE, root).accounts) == len(rows)
        assert len(rows) > 800


def _is_locked(root: str) -> bool:
    """Whether a round of scoring is under way: it has the table's turn."""
    try:
        with Storage(root).lock(str(TABLE), 0.0):
            return False
    except ClusterError:
        return True


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
