"""Sends the flights' events to Kafka in the order of time, some times faster than they happened.

The producer is idempotent: what it sends again after a lost answer is in the topic once. What a restart sends
again has the ids that it had before.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from pathlib import Path

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from millstream_demo.flight_events import Event, events_of

TOPIC, DEAD_LETTER, ALERTS = "flights", "flights-dead-letter", "flight-alerts"
PARTITIONS = 2
RETENTION_MS = 7 * 24 * 3600 * 1000
FIRST, LAST = date(2013, 1, 1), date(2013, 12, 31)
# Kafka's own limit of a record is 1 MiB.
LONGEST_COPY = 2 * 1024 * 1024
ASK_S = 30.0
PROGRESS_S = 2.0

Report = Callable[[str], None]


class EventSource:
    """A connection to the brokers `servers` that sends events to the topic of flights."""

    def __init__(self, servers: str, report: Report) -> None:
        self._producer = Producer(
            {"bootstrap.servers": servers, "enable.idempotence": True, "linger.ms": 5, "log_level": 3}
        )
        self._admin = AdminClient({"bootstrap.servers": servers, "log_level": 3})
        self._report = report
        self._refused: KafkaError | None = None

    def ensure_topics(self) -> None:
        """Make the topics unless they are there. Raises KafkaException when the broker does not answer."""
        config = {"retention.ms": str(RETENTION_MS)}
        # A copy has two headers more.
        larger = {**config, "max.message.bytes": str(LONGEST_COPY)}
        topics = [
            NewTopic(TOPIC, PARTITIONS, 1, config=config),
            NewTopic(DEAD_LETTER, PARTITIONS, 1, config=larger),
            NewTopic(ALERTS, 1, 1, config=config),
        ]
        for made in self._admin.create_topics(topics, request_timeout=ASK_S).values():
            try:
                made.result(ASK_S)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise

    def send_day(self, day: date, speed: float) -> int:
        """Send the events of the day's flights, `speed` times as fast as they happened; how many there were.

        Returns when the broker has acknowledged all of them. Raises KafkaException when it has refused one.
        """
        events = events_of(day)
        began, shown = time.monotonic(), 0.0
        for number, event in enumerate(events):
            due = began + (event.event_time - events[0].event_time).total_seconds() / speed
            while (left := due - time.monotonic()) > 0:
                self._producer.poll(min(left, PROGRESS_S))
            self._send(event)
            if time.monotonic() - shown > PROGRESS_S:
                self._report(json.dumps({"day": str(day), "sent": number, "of": len(events)}))
                shown = time.monotonic()
        self._finish()
        self._report(json.dumps({"day": str(day), "sent": len(events), "of": len(events)}))
        return len(events)

    def _send(self, event: Event) -> None:
        self._producer.produce(
            TOPIC, json.dumps(event.value), event.key, on_delivery=self._delivered, headers=event.headers
        )
        self._producer.poll(0)
        if self._refused is not None:
            raise KafkaException(self._refused)

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        self._refused = self._refused or error

    def _finish(self) -> None:
        left = self._producer.flush(ASK_S)
        if self._refused is not None or left:
            raise KafkaException(self._refused or KafkaError(KafkaError._TIMED_OUT))


def send_year(source: EventSource, speed: float, state: Path) -> None:
    """Send day after day until the year's end, from the day on that the file `state` has."""
    day = date.fromisoformat(state.read_text()) if state.exists() else FIRST
    while day <= LAST:
        source.send_day(day, speed)
        day += timedelta(days=1)
        state.parent.mkdir(parents=True, exist_ok=True)
        state.write_text(day.isoformat())


def send_days(source: EventSource, days: Iterable[date], seconds: float) -> None:
    """Send these days, each in so many seconds."""
    for day in days:
        events = events_of(day)
        span = (events[-1].event_time - events[0].event_time).total_seconds()
        source.send_day(day, span / seconds)
