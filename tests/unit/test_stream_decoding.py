"""Records of a topic decoded one by one: as files are, and what cannot be decoded is kept with its reason."""

from __future__ import annotations

import json
from typing import Any

import pytest

from millstream.contracts.contract import Contract
from millstream.settings import CHECKOUT
from millstream.streams.decoding import record_of
from millstream_demo.flight_events import events_of
from tests.support.streaming import DAY

CONTRACT = Contract.load_file(CHECKOUT / "dags" / "streams" / "flight_events.yaml")
EVENT = next(event for event in events_of(DAY) if event.value["event_type"] == "departed")
HEADERS = [{"key": name, "value": str(value).encode()} for name, value in EVENT.headers]


def value(**changes: Any) -> bytes:
    return json.dumps({**EVENT.value, **changes}).encode()


def test_a_record_has_its_headers_columns_and_its_values_as_written() -> None:
    record = record_of(b"key", value(dep_delay=2.50), HEADERS, CONTRACT)

    assert record.values is not None
    found = dict(zip(CONTRACT.column_names, record.values, strict=True))
    assert found["event_id"] == EVENT.event_id
    assert found["event_type"] == "departed"
    assert found["dep_delay"] == "2.5"
    assert found["arr_time"] is None
    assert record.error is None


def other_version(version: bytes | None) -> list[dict[str, Any]]:
    return [{**one, "value": version} if one["key"] == "schema_version" else one for one in HEADERS]


@pytest.mark.parametrize(
    ("key", "content", "headers", "reason"),
    [
        (b"k", b"{", HEADERS, "not JSON"),
        (b"k", b"\xff\xfe{", HEADERS, "not JSON"),
        (b"k", b"[1]", HEADERS, "not a JSON object"),
        (b"k", None, HEADERS, "a tombstone: no value"),
        (None, value(), HEADERS, "no key"),
        (b"k", b'{"flight": 1, "flight": 2}', HEADERS, "a field comes twice"),
        (b"k", value(event_id="x"), HEADERS, "a field comes twice: event_id"),
        (b"k", value(), HEADERS[1:], "field missing: event_id"),
        (b"k", value(), [*HEADERS, HEADERS[0]], "a field comes twice: header event_id"),
        (b"k", value(), other_version(b"2"), "schema version not known: 2"),
        (b"k", value(), other_version(None), "schema version not known: None"),
        (b"k", value(), other_version(b"\xff"), "header schema_version: not UTF-8"),
        (b"k", b"[" * 100_000, HEADERS, "nested deeper"),
    ],
)
def test_what_cannot_be_decoded_is_kept_with_its_reason(
    key: bytes | None, content: bytes | None, headers: list[dict[str, Any]], reason: str
) -> None:
    record = record_of(key, content, headers, CONTRACT)

    assert record.values is None
    assert str(record.error).startswith(reason)
    assert record.raw == ("" if content is None else content.decode("utf-8", "backslashreplace"))


def test_a_field_that_the_contract_does_not_know_is_kept_beside() -> None:
    record = record_of(b"k", value(gate="A1"), HEADERS, CONTRACT)

    assert json.loads(record.added or "") == {"gate": "A1"}
