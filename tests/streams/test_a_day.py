"""A day of real flights through a real broker, by the stream's own process."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from millstream.lake.storage import local_uri
from millstream.streams import desired, snapshot
from tests.support.broker import RunningBroker
from tests.support.streaming import DATASET, TOPIC, StreamProcess, day_messages, event_ids, rows, stream
from tests.support.waiting import until

# Cold starts of Spark, on a machine that may be busy.
pytestmark = pytest.mark.timeout(900)

STARTED_S = 240.0


@pytest.mark.thorough
def test_a_day(broker: RunningBroker, tmp_path: Path) -> None:
    broker.create(TOPIC)
    sent = day_messages()
    broker.send(TOPIC, sent)
    root = local_uri(tmp_path / "lake")

    process = StreamProcess(broker, root, tmp_path, "--available-now")
    assert process.wait() == 0, process.log.read_text()[-4000:]

    found = rows("silver.flight_events", root)
    assert sorted(row["event_id"] for row in found) == sorted(event_ids(sent))
    account = stream(root).newest(stream(root).silver)
    assert account is not None
    assert (account.read, account.written, account.quarantined) == (len(sent), len(sent), 0)
    assert account.offsets is not None
    assert account.offsets.position == len(sent)
    broker.delete(TOPIC)


@pytest.mark.thorough
def test_a_stream_is_drained_and_goes_on_as_somebody_wishes(broker: RunningBroker, tmp_path: Path) -> None:
    broker.create(TOPIC)
    sent, root = day_messages()[:100], local_uri(tmp_path / "lake")
    broker.send(TOPIC, sent[:50])
    process = StreamProcess(broker, root, tmp_path)

    def seen() -> tuple[str, int]:
        shown = snapshot.read(root, DATASET)
        return (shown.state, shown.position) if shown else ("", 0)

    try:
        until(lambda: seen() == ("running", 50), STARTED_S, f"the first half: {process.log}")
        desired.write(root, DATASET, "drain")
        until(lambda: seen() == ("drained", 50), STARTED_S, f"its end: {process.log}")
        drained_at = datetime.now(UTC)
        broker.send(TOPIC, sent[50:])
        newest = snapshot.read(root, DATASET)
        assert newest is not None
        # It shows life, and reads nothing.
        until(lambda: snapshot.read(root, DATASET).at > newest.at, STARTED_S, "a sign of life")  # type: ignore[union-attr]
        assert seen() == ("drained", 50)
        assert process.process.poll() is None
        desired.write(root, DATASET, "run")
        assert newest.fresh_at is not None
        assert newest.fresh_at < drained_at
        until(lambda: seen() == ("running", 100), STARTED_S, f"the second half: {process.log}")
        until(lambda: snapshot.read(root, DATASET).fresh_at > drained_at, STARTED_S, "fresh rows")  # type: ignore[union-attr,operator]
        assert process.drain() == 0, process.log.read_text()[-4000:]
    finally:
        process.end()
    found = rows("silver.flight_events", root)
    assert sorted(row["event_id"] for row in found) == sorted(event_ids(sent))
    broker.delete(TOPIC)


def test_a_stream_that_has_hardly_begun_is_drained(broker: RunningBroker, tmp_path: Path) -> None:
    """As `make down` right after `make streams-up`: Spark is not there yet, and there is much to read."""
    broker.create(TOPIC)
    broker.send(TOPIC, day_messages())
    root = local_uri(tmp_path / "lake")

    process = StreamProcess(broker, root, tmp_path)
    try:
        until(process.has_java, STARTED_S, f"Java: {process.log}")
        assert process.drain() == 0, process.log.read_text()[-4000:]
    finally:
        process.end()

    seen = snapshot.read(root, DATASET)
    assert seen is not None
    assert (seen.state, seen.position) == ("drained", 0)
    assert "Traceback" not in process.log.read_text()
    broker.delete(TOPIC)
