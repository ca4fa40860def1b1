"""The decoder of alerts, in Spark's expressions, against the decoder of files, in Python: the same events."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from millstream.contracts.contract import Contract
from millstream.streams import alerts, decoding, native
from millstream.streams.commits import judged_rows
from tests.streams.test_bad_records import broken
from tests.support.broker import Message
from tests.support.streaming import altered, day_messages, event_ids, records, stream

# In a field that the contract does not know: the decoder of files looks at no text there.
STRICTER = b'"wings": "\\ud800"'
ROOT = "file:///nowhere"
KEPT = ("_reasons", "_malformed", "_source_record", "_drift")


def hostile(message: Message) -> list[Message]:
    """Variants of a good record, in its value's text and its headers."""
    key, value, headers, partition = message
    assert value is not None
    text = value.decode()
    texts = [*_other_values(json.loads(value), text), *_other_texts(text)]
    varied: list[Message] = [(key, one.encode(), headers, partition) for one in texts]
    varied += [
        (key, one, headers, partition) for one in (value.replace(b'"2', b'"\xe9'), text.encode("utf-16"))
    ]
    for place, (name, said) in enumerate(headers):
        rest = [one for number, one in enumerate(headers) if number != place]
        for more in ([], [(name, b"\xff")], [(name, "2013-13-01")], [headers[place]] * 2):
            varied.append((key, value, [*rest, *more], partition))
        beside = text[:-1] + f', "{name}": {json.dumps(said)}}}'
        varied += [(key, beside.encode(), several, partition) for several in (rest, headers)]
    return varied


def _other_values(fields: dict[str, Any], text: str) -> list[str]:
    flight, carrier = f'"flight": {fields["flight"]}', f'"carrier": "{fields["carrier"]}"'
    assert flight in text
    assert carrier in text
    numbers = (
        "5",
        "5.0",
        "5.5",
        "5e0",
        '"5"',
        '"5.0"',
        '" 5"',
        "-0",
        "99999999999",
        "1e400",
        "05",
        "+5",
        ".5",
    )
    others = ("true", "null", '""', "[5]", '{"a": 5}', '{"a": 5, "a": 5}', "NaN", "1_000", '"\\u0035"')
    deep = [f"{'[' * levels}{']' * levels}" for levels in (199, 200)]
    texts = [text.replace(flight, f'"flight": {one}') for one in (*numbers, *others)]
    texts += [text.replace(flight, f'{flight}, "wings": {one}') for one in (*others, *deep, '"\\ud800"')]
    texts += [
        text[:-1] + f', "dep_delay": {one}}}' for one in (*numbers, *others) if "dep_delay" not in fields
    ]
    strings = ("12", "null", '"\\ud83d\\ude00"', '["A"]', '"\\ud800"', '"a\tb"', '"a\\tb"')
    return texts + [text.replace(carrier, f'"carrier": {one}') for one in strings]


def _other_texts(text: str) -> list[str]:
    """What is not one JSON object, or has a name twice, or none of what it should have."""
    around = [f"{text} x", f"{text}{text}", f"{text}, {text}", f"{text}] x", f"[{text}]", f"/* a */{text}"]
    around += [f" {text}\n", f"\ufeff{text}", f"{text}\0", f"{text}\u2028", f"{text}// a"]
    more = [
        '"wings": 2}',
        '"flight": 7777}',
        '"Flight": 7777}',
        '"event_id": "other"}',
        '"Event_ID": "other"}',
        "}",
    ]
    ended = [f"{text[:-1]}, {one}" for one in more]
    return [*around, *ended, text[:-1], text.replace('"', "'"), "null", "5", '"a"', "", "{}"]


def _values(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in KEPT}


def test_both_decoders_take_the_same_records_for_good_with_the_same_values(spark: SparkSession) -> None:
    day = day_messages()
    chosen = [next(one for one in day if one[0] and b'"departed"' in (one[1] or b"")), day[100]]
    sent = [*day[:20], *(message for message, _ in broken(day[100]))]
    for message in chosen:
        sent += hostile(message)
    # One partition, whose offsets are the places here.
    numbered = [(*message[:3], 0) for message in sent]
    received = records(spark, numbered).orderBy("offset")
    lake = stream(ROOT)
    by_python = dict(_by_place(decoding.decoded(received, lake.contract)))
    by_spark = dict(_by_place(native.decoded(received, lake.contract)))
    assert by_python.keys() == by_spark.keys() == set(range(len(sent)))
    unlike = [
        f"{sent[place][1]!r} {sent[place][2]}: {by_python[place]} {by_spark[place]}"
        for place in by_python
        if by_python[place] != by_spark[place] and STRICTER not in (sent[place][1] or b"")
    ]
    assert not unlike, "\n".join(unlike)
    assert not any(by_spark[place][0] for place, one in enumerate(sent) if STRICTER in (one[1] or b""))
    assert 40 < sum(good for good, _ in by_spark.values()) < len(sent) - 40


def _by_place(rows: DataFrame) -> list[tuple[int, tuple[bool, dict[str, Any]]]]:
    found = judged_rows(rows, stream(ROOT)).collect()
    return [
        (
            int(row["_source_row_id"].rpartition("#")[2]),
            (not row["_reasons"], {} if row["_reasons"] else _values(row.asDict(recursive=True))),
        )
        for row in found
    ]


def test_a_column_comes_under_another_name_too(spark: SparkSession) -> None:
    data = stream(ROOT).contract.model_dump()
    for one in data["columns"]:
        if one["name"] == "flight":
            one["aliases"] = ["flight_number", "number"]
    contract = Contract.from_dict(data, "changed")
    key, value, headers, _ = day_messages()[0]
    fields = json.loads(value or b"")
    number = fields.pop("flight")
    varied = ({"flight_number": number}, {"number": number}, {"number": 1, "flight": number}, {})
    sent: list[Message] = [(key, json.dumps({**fields, **one}).encode(), headers, 0) for one in varied]
    received = records(
        spark, [*sent, (key, json.dumps({**fields, "flight": None, "number": 1}).encode(), headers, 0)]
    )
    by_place = {row["_source_row"]: row for row in native.decoded(received, contract).collect()}
    assert [by_place[place]["flight"] for place in range(5)] == [str(number)] * 3 + [None] * 2
    assert [by_place[place]["_record_error"] for place in range(5)] == [
        None,
        None,
        None,
        "field missing",
        None,
    ]


def test_good_events_that_meet_a_condition_are_alerts(spark: SparkSession) -> None:
    rules = {"late": "event_type = 'departed' AND dep_delay_min >= 60", "any": "flight > 0"}
    data = stream(ROOT).contract.model_dump()
    data["source"]["alerts"] = {"topic": "late-flights", "rules": rules}
    lake = replace(stream(ROOT), contract=Contract.from_dict(data, "changed"))
    departed = next(one for one in day_messages() if b'"departed"' in (one[1] or b""))
    sent = [altered(departed, dep_delay=75), altered(departed, dep_delay=5), altered(departed, flight=0)]
    found = alerts.alerts(records(spark, [(*one[:3], 0) for one in sent]), lake).collect()
    said = [json.loads(row["value"]) for row in found]
    assert sorted((one["alert"], one["dep_delay_min"]) for one in said) == [
        ("any", 5.0),
        ("any", 75.0),
        ("late", 75.0),
    ]
    (late,) = (row for row in found if json.loads(row["value"])["alert"] == "late")
    assert {one["key"]: bytes(one["value"]).decode() for one in late["headers"]} == {
        "event_id": event_ids(sent)[0],
        "alert": "late",
    }
