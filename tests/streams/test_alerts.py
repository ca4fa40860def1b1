"""Alerts by real-time mode, from a real topic to a real topic: all of the good events, none of the broken."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from millstream.lake.storage import local_uri
from millstream.streams import alert_snapshot
from millstream.streams.alert_snapshot import AlertSnapshot
from tests.streams.test_bad_records import broken
from tests.support.broker import RunningBroker
from tests.support.streaming import DATASET, StreamProcess, altered, day_messages, event_ids
from tests.support.waiting import until

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(900)]

TOPIC, ALERTS = "watched", "alerts"
SENT_S = 240.0
STOPPED = 3
RULES = {"every_event": "true", "late": "event_type = 'departed' AND dep_delay_min >= 60"}


def received(broker: RunningBroker) -> dict[tuple[str, str], dict[str, Any]]:
    """Each alert's value by event and name: one that was sent again is the same."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for one in broker.received(ALERTS):
        headers = {name: value.decode() for name, value in one.headers() or []}
        value = json.loads(one.value() or b"")
        assert found.setdefault((headers["event_id"], headers["alert"]), value) == value
    return found


def shown(root: str) -> AlertSnapshot:
    found = alert_snapshot.read(root, DATASET)
    assert found is not None
    return found


def test_every_good_event_raises_its_alerts_and_no_broken_one(broker: RunningBroker, tmp_path: Path) -> None:
    broker.create(TOPIC)
    broker.create(ALERTS)
    day = day_messages()
    departed = next(one for one in day if dict(one[2])["event_id"].endswith("/departed"))
    root = local_uri(tmp_path / "lake")
    late = altered(departed, dep_delay=75)
    alerts = {"topic": ALERTS, "rules": RULES}

    def started() -> StreamProcess:
        options = ("--alerts", str(tmp_path / "checkpoint"))
        return StreamProcess(broker, root, tmp_path, *options, topic=TOPIC, alerts=alerts)

    def stopped() -> str:
        process = started()
        assert process.wait() == STOPPED, process.log.read_text()[-4000:]
        assert shown(root).state == "stopped"
        return shown(root).reason

    began = time.monotonic()
    process = started()
    try:
        # It begins at the topic's end, wherever that is by then.
        def begun() -> bool:
            broker.send(TOPIC, day[:1])
            return bool(received(broker))

        until(begun, SENT_S, f"a first alert: {process.log}")
        # Each alert comes while the batch is under way that reads its event: no other mode does that.
        for number in range(1, 6):
            broker.send(TOPIC, [day[number]])
            until(lambda now=number: (event_ids(day)[now], "every_event") in received(broker), SENT_S, "it")
        batches = len(list((tmp_path / "checkpoint").glob("*/commits/[0-9]*")))
        assert batches <= (time.monotonic() - began) / 120
        broker.send(TOPIC, [*day[6:20], *(message for message, _ in broken(day[100])), late, *day[20:30]])
        expected = {(one, "every_event") for one in event_ids([*day[:30], late])}
        expected.add((event_ids([late])[0], "late"))
        until(lambda: received(broker).keys() >= expected, SENT_S, f"its alerts: {process.log}")
        process.kill()
        broker.send(TOPIC, day[30:40])
        process = started()
        expected |= {(one, "every_event") for one in event_ids(day[30:40])}
        until(lambda: received(broker).keys() >= expected, SENT_S, f"those of a restart: {process.log}")
        until(lambda: shown(root).sent == len(broker.received(ALERTS)), SENT_S, "the page's count")
        assert shown(root).state == "running"
        assert shown(root).latest[0].event_id in event_ids(day[:40])
        assert process.drain() == 0, process.log.read_text()[-4000:]
        assert shown(root).state == "drained"
        broker.expire(TOPIC)
        assert "records are gone" in stopped()
        broker.delete(TOPIC)
        broker.create(TOPIC)
        # As many records as the old one had: its offsets fit.
        broker.send(TOPIC, [(*message[:3], one) for message in day[:100] for one in (0, 1)])
        assert "made anew" in stopped()
    finally:
        process.end()

    found = received(broker)
    assert found.keys() == expected
    said = found[event_ids([late])[0], "late"]
    assert (said["alert"], said["dep_delay_min"], said["event_type"]) == ("late", 75.0, "departed")
    for topic in (TOPIC, ALERTS):
        broker.delete(topic)


def test_a_condition_that_is_none_stops_it(broker: RunningBroker, tmp_path: Path) -> None:
    topics = ("refused", "refused-alerts")
    for topic in topics:
        broker.create(topic)
    root, alerts = local_uri(tmp_path / "lake"), {"topic": topics[1], "rules": {"wrong": "dep_delay >= 60"}}
    options = ("--alerts", str(tmp_path / "checkpoint"))
    process = StreamProcess(broker, root, tmp_path, *options, topic=topics[0], alerts=alerts)
    try:
        assert process.wait() == STOPPED, process.log.read_text()[-4000:]
    finally:
        process.end()
        for topic in topics:
            broker.delete(topic)
    assert shown(root).state == "stopped"
    assert "not a condition on the columns of silver" in shown(root).reason
