"""A real Kafka broker on free ports of 127.0.0.1, as the stack starts it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka import Message as Received
from confluent_kafka.admin import AdminClient, NewTopic
from filelock import FileLock

from millstream.settings import Settings
from millstream_stack.services import kafka_broker
from tests.support.loopback import free_ports
from tests.support.waiting import until

FETCH_TIMEOUT_S = 600.0
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 30.0
ASK_S = 10.0
MOST_BYTES = 64 * 1024 * 1024

# Key, value and headers of a record, with the partition that it goes to.
Message = tuple[str | None, bytes | None, Sequence[tuple[str, str | bytes]], int]


class RunningBroker:
    """One broker; its topics are there again after `kill` and `start`."""

    def __init__(self, folder: Path) -> None:
        settings = Settings()
        # By one of several test processes.
        with FileLock(settings.root / ".millstream" / "kafka.lock", timeout=FETCH_TIMEOUT_S):
            jars = kafka_broker.jars(settings)
        port, controller_port = free_ports("broker", "controller").values()
        self._broker = kafka_broker.Broker(folder, jars, Path(os.environ["JAVA_HOME"]), port, controller_port)
        self._process: subprocess.Popen[bytes] | None = None
        self.servers = f"127.0.0.1:{port}"
        # What it is asked for ends with the client.
        self.admin = AdminClient({"bootstrap.servers": self.servers, "log_level": 0})

    def _prepare(self) -> None:
        self._broker.prepare()

    def start(self) -> None:
        self._prepare()
        with (self._broker.folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._broker.command, stdout=log, stderr=log, cwd=self._broker.folder
            )
        until(self._answers, START_TIMEOUT_S, "the broker")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._broker.folder / "broker.log").read_text()[-3000:]
        try:
            return bool(self.admin.list_topics(timeout=1).brokers)
        except KafkaException:
            return False

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_TIMEOUT_S)
        self._process = None

    def create(self, topic: str, partitions: int = 2, **config: str) -> None:
        """`config` is the topic's, with `_` for each point of a name."""
        named = {name.replace("_", "."): value for name, value in config.items()}
        new = NewTopic(topic, partitions, 1, config=named)
        for made in self.admin.create_topics([new]).values():
            made.result(ASK_S)
        until(lambda: self._present(topic), ASK_S, f"the topic {topic}")

    def delete(self, topic: str) -> None:
        for deleted in self.admin.delete_topics([topic]).values():
            deleted.result(ASK_S)
        until(lambda: not self._present(topic), ASK_S, f"the end of the topic {topic}")

    def expire(self, topic: str) -> None:
        """Remove every record, as retention does."""
        partitions = self.admin.list_topics(topic, timeout=ASK_S).topics[topic].partitions
        ends = [TopicPartition(topic, one, OFFSET_END) for one in partitions]
        for removed in self.admin.delete_records(ends).values():
            removed.result(ASK_S)

    def _present(self, topic: str) -> bool:
        return topic in self.admin.list_topics(timeout=ASK_S).topics

    def send(self, topic: str, messages: Iterable[Message]) -> None:
        """Returns when the broker has acknowledged every message."""
        # What a topic takes is the topic's own.
        settings = {"bootstrap.servers": self.servers, "enable.idempotence": True}
        producer = Producer({**settings, "message.max.bytes": MOST_BYTES})
        failed: list[object] = []
        for key, value, headers, partition in messages:
            producer.produce(
                topic,
                value,
                key,
                partition,
                on_delivery=lambda error, _: failed.append(error) if error else None,
                headers=list(headers),
            )
            producer.poll(0)
        assert producer.flush(ASK_S) == 0
        assert failed == []

    def received(self, topic: str) -> list[Received]:
        """Every record that the topic has now."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.servers,
                "group.id": "test",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
            }
        )
        partitions = list(self.admin.list_topics(topic, timeout=ASK_S).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, one, OFFSET_BEGINNING) for one in partitions])
        found, ended = [], set()
        try:
            while len(ended) < len(partitions):
                record = consumer.poll(ASK_S)
                assert record is not None, f"{topic}: nothing came in {ASK_S} s"
                error = record.error()
                if error is None:
                    found.append(record)
                else:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    ended.add(record.partition())
        finally:
            consumer.close()
        return found


@contextmanager
def started(folder: Path) -> Iterator[RunningBroker]:
    """A broker while it is used."""
    server = RunningBroker(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
