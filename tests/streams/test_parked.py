"""A topic that has gone bad parks its stream: the process stays, and goes on when somebody lets it."""

from __future__ import annotations

from pathlib import Path

import pytest

from millstream.lake.storage import local_uri
from millstream.streams import desired, snapshot
from tests.streams.test_bad_records import STOPPED
from tests.support.broker import RunningBroker
from tests.support.streaming import DATASET, StreamProcess, altered, day_messages, event_ids, rows
from tests.support.waiting import until

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(900)]

TOPIC = "gone-bad"
READ_S = 240.0


def test_a_bad_topic_parks_the_stream_until_somebody_lets_it_run(
    broker: RunningBroker, tmp_path: Path
) -> None:
    broker.create(TOPIC)
    root, day = local_uri(tmp_path / "lake"), day_messages()
    good, later = day[:50], day[200:230]
    broker.send(TOPIC, [*good, *(altered(message, carrier="?") for message in day[50:200])])
    process = StreamProcess(broker, root, tmp_path, topic=TOPIC)

    def seen() -> tuple[str, int]:
        shown = snapshot.read(root, DATASET)
        return (shown.state, shown.position) if shown else ("", 0)

    try:
        until(lambda: seen() == ("parked", 200), READ_S, f"the end: {process.log}")
        broker.send(TOPIC, later)
        shown = snapshot.read(root, DATASET)
        assert shown is not None
        assert shown.reason.startswith("of the last 200 rows 150 (75%) break 'carrier matches")
        until(lambda: snapshot.read(root, DATASET).at > shown.at, READ_S, "a sign of life")  # type: ignore[union-attr]
        assert seen() == ("parked", 200)
        # Also by another process, which finds out why.
        process.kill()
        process = StreamProcess(broker, root, tmp_path, topic=TOPIC)
        until(lambda: snapshot.read(root, DATASET).at > shown.at, READ_S, "a sign of life")  # type: ignore[union-attr]
        until(lambda: seen()[0] == "parked", READ_S, f"the end again: {process.log}")
        assert snapshot.read(root, DATASET).reason == shown.reason  # type: ignore[union-attr]

        desired.write(root, DATASET, "run")
        until(lambda: seen() == ("running", 230), READ_S, f"what came later: {process.log}")
        assert process.drain() == 0, process.log.read_text()[-4000:]
    finally:
        process.end()
    found = rows("silver.flight_events", root)
    assert sorted(row["event_id"] for row in found) == sorted(event_ids([*good, *later]))
    broker.delete(TOPIC)


def test_a_run_to_the_topics_end_stops_there(broker: RunningBroker, tmp_path: Path) -> None:
    broker.create(TOPIC)
    broker.send(TOPIC, [altered(message, carrier="?") for message in day_messages()[:120]])
    process = StreamProcess(broker, local_uri(tmp_path / "lake"), tmp_path, "--available-now", topic=TOPIC)
    assert process.wait() == STOPPED, process.log.read_text()[-4000:]
    said = "stopped: QualityGateError: silver.flight_events: of the last 120 rows 120 (100%) break"
    assert said in process.log.read_text()
    broker.delete(TOPIC)
