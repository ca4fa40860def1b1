"""From the moment when an event was to be sent until it is in silver, beside Spark's own sink to Delta.

    python -m bench.streams [--rate 50] [--seconds 60]

Events are sent at a constant rate, whatever the streams do (an open loop), to a topic of one partition. Two
processes read it at the same time: the stream (bronze, quarantine, silver, with accounts), and a floor that
appends the raw records by Spark's own sink for Delta. Both look for records once a second. An event has
arrived when the commit that has its offset was made. The first third is warm-up, and counted in nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import islice
from pathlib import Path

from confluent_kafka import Producer
from deltalake import DeltaTable

from bench.machine import describe
from millstream.lake import history
from millstream.lake.storage import local_uri
from millstream.lake.tables import TableRef
from millstream.settings import Settings
from millstream_demo.flight_events import Event, events_of
from millstream_stack.services.stream_process import properties_path, write_stream_properties
from tests.support.broker import RunningBroker
from tests.support.streaming import StreamProcess
from tests.support.waiting import until

TOPIC = "flights"
WAIT_S = 300.0
FLOOR = """
import sys
from pyspark.sql import SparkSession
servers, topic, target, checkpoint = sys.argv[1:]
spark = SparkSession.builder.getOrCreate()
records = spark.readStream.format("kafka").option("kafka.bootstrap.servers", servers)
records = records.option("subscribe", topic).option("startingOffsets", "earliest").load()
writer = records.writeStream.format("delta").option("checkpointLocation", checkpoint)
writer.trigger(processingTime="1 second").start(target).awaitTermination()
"""
# Commit time in seconds since 1970, and the offset behind the last record that the commit has.
Commits = list[tuple[float, int]]


def all_events() -> Iterator[Event]:
    day = date(2013, 1, 1)
    while True:
        yield from events_of(day)
        day += timedelta(days=1)


def send(servers: str, events: list[Event], rate: float) -> list[float]:
    """The moment at which each event was to be sent; its offset is its place in the list."""
    producer = Producer({"bootstrap.servers": servers, "enable.idempotence": True, "linger.ms": 0})
    began, due = time.time(), []
    for number, event in enumerate(events):
        due.append(began + number / rate)
        while (left := due[-1] - time.time()) > 0:
            producer.poll(left)
        producer.produce(TOPIC, json.dumps(event.value), event.key, 0, headers=event.headers)
    assert producer.flush(30) == 0
    return due


def of_silver(root: str) -> Commits:
    accounts = history.read(TableRef.parse("silver.flight_events"), root).accounts
    return [(one.committed.timestamp(), one.offsets.end[0]) for one in accounts if one.offsets][::-1]


def of_floor(uri: str) -> Commits:
    if not DeltaTable.is_deltatable(uri):
        return []
    found, rows = [], 0
    for commit in reversed(DeltaTable(uri).history()):
        rows += int((commit.get("operationMetrics") or {}).get("numOutputRows", 0))
        found.append((commit["timestamp"] / 1000, rows))
    return found


def latencies(commits: Commits, due: list[float]) -> list[float]:
    found, number = [], 0
    for moment, end in commits:
        found += [moment - one for one in due[number:end]]
        number = max(number, end)
    return found


def shown(name: str, seconds: list[float]) -> str:
    cuts = statistics.quantiles(seconds, n=100)
    figures = " | ".join(f"{cuts[share - 1]:.2f}" for share in (50, 95, 99))
    return f"| {name} | {len(seconds)} | {figures} | {max(seconds):.2f} |"


def stacks_conf(folder: Path) -> Path:
    """Spark's properties of a stream as the stack has them."""
    settings = Settings(home=folder)
    for name in ("spark", "tmp"):
        (folder / name).mkdir()
    write_stream_properties(settings)
    return properties_path(settings)


def measure(folder: Path, rate: float, seconds: float) -> str:
    broker, conf = RunningBroker(folder / "kafka"), stacks_conf(folder)
    root, floor = local_uri(folder / "lake"), local_uri(folder / "floor")
    events = list(islice(all_events(), int(rate * seconds)))
    processes: list[subprocess.Popen[bytes]] = []
    try:
        broker.start()
        broker.create(TOPIC, 1)
        processes.append(StreamProcess(broker, root, folder, topic=TOPIC, conf=conf).process)
        with (folder / "floor.log").open("wb") as log:
            command = [sys.executable, "-c", FLOOR, broker.servers, TOPIC, floor, str(folder / "checkpoint")]
            processes.append(
                subprocess.Popen(
                    command,
                    env={
                        **os.environ,
                        "PYSPARK_SUBMIT_ARGS": f"--properties-file {conf} pyspark-shell",
                    },
                    stdout=log,
                    stderr=log,
                )
            )
        # Both have begun once they have one event.
        send(broker.servers, events[:1], rate)
        until(lambda: bool(of_silver(root)) and bool(of_floor(floor)), WAIT_S, f"both streams: {folder}")
        due = [0.0, *send(broker.servers, events[1:], rate)]
        for commits in (lambda: of_silver(root), lambda: of_floor(floor)):
            until(lambda read=commits: read()[-1][1] == len(events), WAIT_S, "the last event")
    finally:
        for process in processes:
            process.terminate()
            process.wait(60)
        broker.stop()
    counted = len(events) // 3
    lines = [
        shown("Spark's own sink", latencies(of_floor(floor), due)[counted:]),
        shown("silver, with bronze and accounts", latencies(of_silver(root), due)[counted:]),
    ]
    head = ("| from sending to commit, s | events | p50 | p95 | p99 | max |", "|---|--:|--:|--:|--:|--:|")
    setting = f"{describe()}; {rate:g} events a second for {seconds:g} s, both at the same time"
    return "\n".join([setting, "", *head, *lines])


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.streams", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rate", type=float, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-streams-") as folder:
        print(measure(Path(folder), options.rate, options.seconds))


if __name__ == "__main__":
    main()
