"""Broken records go to quarantine while the stream goes on; a topic that was made anew ends it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from millstream.lake.storage import local_uri
from millstream.streams import snapshot
from tests.support.broker import Message, RunningBroker
from tests.support.streaming import DATASET, StreamProcess, altered, day_messages, event_ids, rows
from tests.support.waiting import until

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(900)]

TOPIC, DEAD_LETTER = "broken", "broken-dead-letter"
READ_S = 240.0
STOPPED = 3
# Ten megabytes that end too early; Kafka's own limit is one.
LARGE = b'{"tailnum": "' + b"N" * 10 * 1024 * 1024
LARGEST = str(16 * 1024 * 1024)


def broken(message: Message) -> list[tuple[Message, str]]:
    """Variants of a good record, each with the start of its reason."""
    key, value, headers, _ = message
    assert value is not None
    fields = json.loads(value)
    retyped = json.dumps({**fields, "flight": "one"}).encode()
    lacking = json.dumps({name: one for name, one in fields.items() if name != "flight"}).encode()
    not_a_number = json.dumps({**fields, "dep_delay": float("nan")}).encode()
    of_another = [*headers[:2], ("schema_version", "9")]
    from_1970, of_the_future = (
        [headers[0], ("event_time", f"{year}-01-01T00:00:00Z"), headers[2]] for year in (1970, 2099)
    )
    return [
        ((key, b"{not json", headers, 0), "record: not JSON"),
        ((key, b"\xff\xfe", headers, 0), "record: not JSON"),
        ((key, value.decode().encode("utf-16"), headers, 0), "record: not JSON"),
        ((key, b"\xef\xbb\xbf" + value, headers, 0), "record: not JSON"),
        ((key, not_a_number, headers, 0), "record: not JSON: NaN"),
        ((key, lacking, headers, 0), "record: field missing: flight"),
        ((key, retyped, headers, 0), "flight: not of type int: one"),
        ((key, None, headers, 0), "record: a tombstone"),
        ((None, value, headers, 0), "record: no key"),
        ((key, value, of_another, 0), "record: schema version not known: 9"),
        ((key, value, [], 0), "record: schema version not known: None"),
        ((key, value, from_1970, 0), "event_time is "),
        ((key, value, of_the_future, 0), "event_time is "),
    ]


def test_broken_records_are_kept_apart_and_the_stream_goes_on(broker: RunningBroker, tmp_path: Path) -> None:
    for topic in (TOPIC, DEAD_LETTER):
        broker.create(topic, max_message_bytes=LARGEST)
    root, day = local_uri(tmp_path / "lake"), day_messages()
    key, _, headers, _ = day[100]
    in_the_first = [message for message in day[:20] if message[3] == 0]
    variants = [
        *broken(day[100]),
        ((key, LARGE, headers, 0), "record: not JSON"),
        (altered(in_the_first[0], distance=1), "event_id: came before with other contents"),
    ]
    broker.send(TOPIC, [*in_the_first, *(message for message, _ in variants)])
    process = StreamProcess(broker, root, tmp_path, topic=TOPIC, dead_letter=DEAD_LETTER)
    try:
        read = len(in_the_first) + len(variants)
        until(lambda: _position(root) == read, READ_S, f"silver: {process.log}")
        # It goes on, behind them.
        broker.send(TOPIC, [*day[20:40], (*day[19][:3], 1)])
        until(lambda: _position(root) == read + 21, READ_S, f"what comes later: {process.log}")
        assert process.drain() == 0, process.log.read_text()[-4000:]
    finally:
        process.end()

    kept = {row["_source_row_id"]: row["_reasons"] for row in rows("silver.flight_events_quarantine", root)}
    assert kept.keys() == {f"{TOPIC}/0#{len(in_the_first) + number}" for number in range(len(variants))}
    for number, (_, reason) in enumerate(variants):
        found = kept[f"{TOPIC}/0#{len(in_the_first) + number}"]
        assert any(one.startswith(reason) for one in found), (reason, found)
    copies = {
        dict(one.headers() or [])["millstream.source_row_id"].decode(): one
        for one in broker.received(DEAD_LETTER)
    }
    assert copies.keys() == kept.keys()
    for number, ((key, value, headers, _), _) in enumerate(variants):
        place = f"{TOPIC}/0#{len(in_the_first) + number}"
        copied = copies[place]
        assert (copied.key(), copied.value()) == (key and key.encode(), value)
        *received, _, (name, reasons) = copied.headers() or []
        assert received == [(header, str(text).encode()) for header, text in headers]
        assert (name, json.loads(reasons)) == ("millstream.reasons", kept[place])
    good = event_ids([*in_the_first, *day[19:40]])
    assert sorted(row["event_id"] for row in rows("silver.flight_events", root)) == sorted(set(good))
    assert snapshot.read(root, DATASET).state == "drained"  # type: ignore[union-attr]

    broker.delete(TOPIC)
    broker.create(TOPIC)
    # As many records as the old one had: its offsets fit.
    broker.send(TOPIC, [(*message[:3], 0) for message in day[: read + 30]])
    broker.send(TOPIC, [(*message[:3], 1) for message in day[: read + 30]])
    stopped = StreamProcess(broker, root, tmp_path, topic=TOPIC)
    assert stopped.wait() == STOPPED
    assert "StreamPositionError" in stopped.log.read_text()
    seen = snapshot.read(root, DATASET)
    assert seen is not None
    assert (seen.state, "it was made anew" in seen.reason) == ("stopped", True)
    broker.delete(TOPIC)


def _position(root: str) -> int:
    seen = snapshot.read(root, DATASET)
    return seen.position if seen else 0
