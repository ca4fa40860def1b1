"""A day of real flights through a real broker, by the stream's own process."""

from __future__ import annotations

from pathlib import Path

import pytest

from millstream.lake.storage import local_uri
from tests.support.broker import RunningBroker
from tests.support.streaming import TOPIC, StreamProcess, day_messages, event_ids, rows, stream

# Two cold starts of Spark, on a machine that may be busy.
pytestmark = pytest.mark.timeout(900)


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

    # The checkpoint of the first process is lost: the tables alone say that there is nothing more to do.
    version = account.version
    again = StreamProcess(broker, root, tmp_path, "--available-now")
    assert again.wait() == 0, again.log.read_text()[-4000:]
    after = stream(root).newest(stream(root).silver)
    assert after is not None
    assert after.version == version
    broker.delete(TOPIC)
