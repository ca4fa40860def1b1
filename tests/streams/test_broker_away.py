"""A broker that dies is waited for: the stream goes on when it is back, without having lost anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from millstream.lake.storage import local_uri
from millstream.streams import snapshot
from tests.support.broker import RunningBroker
from tests.support.streaming import DATASET, StreamProcess, day_messages, event_ids, rows
from tests.support.waiting import until

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(900)]

TOPIC = "away"
READ_S = 240.0
NOTICED_S = 120.0


def test_a_stream_waits_for_its_broker(broker: RunningBroker, tmp_path: Path) -> None:
    broker.create(TOPIC)
    root, sent = local_uri(tmp_path / "lake"), day_messages()[:60]
    broker.send(TOPIC, sent[:40])
    process = StreamProcess(broker, root, tmp_path, topic=TOPIC)

    def seen() -> snapshot.Snapshot:
        return snapshot.read(root, DATASET) or snapshot.Snapshot.model_construct(state="starting", position=0)

    try:
        until(lambda: seen().position == 40, READ_S, f"silver: {process.log}")
        broker.kill()
        until(lambda: seen().state == "waiting", NOTICED_S, f"waiting: {process.log}")
        assert "does not answer" in seen().reason
        broker.start()
        broker.send(TOPIC, sent[40:])
        until(lambda: seen().position == 60, READ_S, f"what came after: {process.log}")
        assert process.drain() == 0, process.log.read_text()[-4000:]
    finally:
        process.end()
    assert sorted(row["event_id"] for row in rows("silver.flight_events", root)) == sorted(event_ids(sent))
    broker.delete(TOPIC)
