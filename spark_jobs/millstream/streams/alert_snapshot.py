"""What the alerts of a stream say of themselves: one small file in the lake, replaced every few seconds."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from millstream.errors import ClusterError
from millstream.lake.storage import Storage
from millstream.streams.access import Access
from millstream.streams.snapshot import State
from millstream.streams.topic import Topics

if TYPE_CHECKING:
    from confluent_kafka import Message

FOLDER = "ops/alerts"
ASK_S = 10.0
SHOWN = 10
# Headers of an alert. The two together name it: one that is sent again has the same.
EVENT_ID, ALERT = "event_id", "alert"


class Alert(BaseModel):
    """One alert: its name, the event that raised it, and when it was sent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    alert: str
    event_id: str
    event: dict[str, Any]
    sent: datetime


class AlertSnapshot(BaseModel):
    """`sent` counts the records of the topic of alerts, also those that were sent again after a crash;
    `latest` are the newest of them, the last first. `down_since` is since when they have not run; None while
    they do."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stream: str
    topic: str
    state: State
    at: datetime
    down_since: datetime | None = None
    sent: int = 0
    latest: tuple[Alert, ...] = ()
    reason: str = ""


def write(lake_root: str, snapshot: AlertSnapshot) -> None:
    Storage(lake_root).write(f"{FOLDER}/{snapshot.stream}.json", snapshot.model_dump_json().encode())


def read(lake_root: str, stream: str) -> AlertSnapshot | None:
    """The newest snapshot; None before the first."""
    storage, path = Storage(lake_root), f"{FOLDER}/{stream}.json"
    if not storage.exists(path):
        return None
    return AlertSnapshot.model_validate_json(storage.read(path))


class SentAlerts:
    """Looks at what a topic of alerts has."""

    def __init__(self, access: Access, topic: str) -> None:
        self._access = access
        self._topic = topic
        self._topics = Topics(access)
        self._sent = -1
        self._latest: tuple[Alert, ...] = ()

    def look(self) -> tuple[int, tuple[Alert, ...]]:
        """How many there are, and the newest, which are read only where there are new ones.

        Raises: SourceUnavailableError: no such topic; ClusterError: the broker does not answer.
        """
        topic = self._topics.look(self._topic)
        sent = sum(topic.end.values())
        if sent != self._sent:
            first = {
                partition: max(begin, topic.end[partition] - SHOWN)
                for partition, begin in topic.begin.items()
                if topic.end[partition] > begin
            }
            self._latest = self._read(first, topic.end)
            self._sent = sent
        return sent, self._latest

    def _read(self, first: dict[int, int], end: dict[int, int]) -> tuple[Alert, ...]:
        from confluent_kafka import Consumer, TopicPartition

        consumer = Consumer(
            {
                **{**self._access.client, "log_level": 0},
                # It joins no group and commits nothing; the client wants a name all the same.
                **{"group.id": "millstream-alerts-shown", "enable.auto.commit": False},
            }
        )
        wanted = sum(end[partition] - offset for partition, offset in first.items())
        try:
            consumer.assign([TopicPartition(self._topic, *place) for place in first.items()])
            records = consumer.consume(wanted, ASK_S) if wanted else []
        finally:
            consumer.close()
        if any(one.error() for one in records):
            raise ClusterError(f"Kafka at {self._access.servers} does not hand over {self._topic}")
        shown = [one for one in map(_alert, records) if one is not None]
        return tuple(sorted(shown, key=lambda one: one.sent, reverse=True)[:SHOWN])


def _alert(record: Message) -> Alert | None:
    """None for what somebody else has sent to the topic."""
    _, sent_ms = record.timestamp()
    try:
        headers = {
            name: value.decode()
            for name, value in dict(record.headers() or []).items()
            if isinstance(value, bytes)
        }
        return Alert(
            alert=headers[ALERT],
            event_id=headers[EVENT_ID],
            event=json.loads(record.value() or b""),
            sent=datetime.fromtimestamp(sent_ms / 1000, UTC),
        )
    except (KeyError, ValueError):
        return None
