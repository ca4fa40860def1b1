"""Streams for tests: a day's events in a real topic, and the stream's own process beside them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal, get_args

import psutil
import yaml
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession

from millstream.contracts.contract import Contract
from millstream.engines.conf import spark_conf
from millstream.lake.accounts import Account
from millstream.quality.suite import Suite
from millstream.quality.suites import suite_in
from millstream.settings import CHECKOUT, Settings
from millstream.streams.commits import Committer, bronze_rows, silver_rows
from millstream.streams.tables import BRONZE, Stream
from millstream_demo.flight_events import Event, events_of
from tests.support import jvm
from tests.support.broker import Message, RunningBroker

DATASET, TOPIC = "flight_events", "flights"
DAY = date(2013, 1, 15)
SCRIPT = CHECKOUT / "spark_jobs" / "run_stream.py"
PARTITIONS = 2
ENDS_S = 60.0


def contract() -> Contract:
    return Contract.load_file(CHECKOUT / "dags" / "streams" / f"{DATASET}.yaml")


def suite() -> Suite:
    return Suite.from_dict(suite_in(CHECKOUT, DATASET))


def stream(lake_root: str) -> Stream:
    return Stream(contract(), suite(), lake_root, "test")


def messages(events: Iterable[Event]) -> list[Message]:
    """Every flight's events in one partition, as a producer that partitions by key sends them."""
    return [
        (event.key, json.dumps(event.value).encode(), event.headers, sum(event.key.encode()) % PARTITIONS)
        for event in events
    ]


def day_messages() -> list[Message]:
    return messages(events_of(DAY))


# Enough for some micro-batches.
SENT = day_messages()[:60]


def event_ids(sent: Iterable[Message]) -> list[str]:
    return [str(dict(headers)["event_id"]) for _, _, headers, _ in sent]


def altered(message: Message, **changes: Any) -> Message:
    """The message with other fields in its value."""
    key, value, headers, partition = message
    assert value is not None
    return key, json.dumps({**json.loads(value), **changes}).encode(), headers, partition


def rows(table: str, lake_root: str) -> list[dict[str, Any]]:
    """The table's rows, read without Spark."""
    zone, _, name = table.partition(".")
    found: list[dict[str, Any]] = DeltaTable(f"{lake_root}/{zone}/{name}").to_pyarrow_table().to_pylist()
    return found


# What a broker would say.
TOPIC_ID = "first"
AT = datetime(2026, 1, 1, tzinfo=UTC)


def records(spark: SparkSession, sent: Iterable[Message], first: dict[int, int] | None = None) -> DataFrame:
    """Records as Spark reads them, numbered in each partition from `first` on."""
    next_offset = dict(first or {})
    found = []
    for key, value, headers, partition in sent:
        offset = next_offset.get(partition, 0)
        next_offset[partition] = offset + 1
        named = [(name, text.encode() if isinstance(text, str) else text) for name, text in headers]
        bytes_of_key = None if key is None else bytearray(key.encode())
        found.append((TOPIC, partition, offset, AT, bytes_of_key, value, named))
    return spark.createDataFrame(found, BRONZE)


def commit(lake: Stream, received: DataFrame, topic_id: str = TOPIC_ID) -> Account | None:
    """To bronze and silver, of a topic that has all of its records; the account of silver."""
    committer, begun = Committer(lake, lambda: topic_id), dict.fromkeys(range(PARTITIONS), 0)
    committer.bronze(bronze_rows(received), begun)
    return committer.silver(silver_rows(received, lake), begun)


def properties(folder: Path) -> Path:
    """Spark's properties of a stream, for a Java machine that lives some minutes."""
    conf = {
        **spark_conf("submitted"),
        "spark.master": "local[2]",
        "spark.driver.extraClassPath": f"{Settings().root}/.millstream/jars/*",
        "spark.driver.extraJavaOptions": f"{jvm.SHORT_LIVED} -Duser.timezone=UTC",
        "spark.driver.memory": "1g",
        # As in tests/spark: what lives for some micro-batches is not worth compiling.
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        "spark.local.dir": str(folder / "spark"),
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
    }
    path = folder / "stream.conf"
    path.write_text("".join(f"{name} {value}\n" for name, value in conf.items()))
    return path


Victim = Literal["all", "python", "java"]
VICTIMS: tuple[Victim, ...] = get_args(Victim)


class StreamProcess:
    """The stream as the stack starts it, with a smaller Java machine."""

    def __init__(
        self,
        broker: RunningBroker,
        lake_root: str,
        folder: Path,
        *options: str,
        topic: str = TOPIC,
        dead_letter: str | None = None,
        alerts: dict[str, Any] | None = None,
        views: Sequence[str] = ("airport_delays",),
        conf: Path | None = None,
        servers: str | None = None,
    ) -> None:
        self.log = folder / "stream.log"
        contracts = folder / "contracts"
        contracts.mkdir(exist_ok=True)
        given = yaml.safe_load((CHECKOUT / "dags" / "streams" / f"{DATASET}.yaml").read_text())
        given["source"] |= {"topic": topic, "dead_letter": dead_letter, "alerts": alerts, "views": [*views]}
        (contracts / f"{DATASET}.yaml").write_text(yaml.safe_dump(given))
        command = [sys.executable, str(SCRIPT), str(contracts / f"{DATASET}.yaml"), "--lake-root", lake_root]
        # PySpark sets it where a test is over Connect, and the process would take it for its own.
        inherited = {name: os.environ[name] for name in os.environ if name != "SPARK_CONNECT_MODE_ENABLED"}
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [*command, "--servers", servers or broker.servers, *options],
                env={
                    **inherited,
                    "PYSPARK_SUBMIT_ARGS": f"--properties-file {conf or properties(folder)} pyspark-shell",
                    "SPARK_LOCAL_DIRS": str(folder / "spark"),
                },
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def kill(self, who: Victim = "all") -> None:
        """With -9, Python and Java at once, or one of them; returns when Python has ended."""
        if who == "all":
            os.killpg(self.process.pid, signal.SIGKILL)
        elif who == "python":
            # Java ends a little later, and may commit until then.
            self.process.kill()
        else:
            for child in self._javas():
                child.kill()
        self.process.wait(ENDS_S)

    def has_java(self) -> bool:
        return bool(self._javas())

    def _javas(self) -> list[psutil.Process]:
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if child.name() == "java"]

    def end(self) -> None:
        """Whatever has become of it."""
        if self.process.poll() is None:
            self.kill()

    def drain(self) -> int:
        """As supervisord ends it. The exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self, timeout_s: float = 5 * ENDS_S) -> int:
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(self.log.read_text()[-4000:]) from None
