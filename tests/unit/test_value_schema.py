"""The JSON Schema of a topic's values: the demo's events keep it."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from millstream.contracts.contract import Contract
from millstream.contracts.value_schema import value_schema
from millstream.settings import CHECKOUT
from millstream_demo.flight_events import events_of
from tests.support.streaming import DAY

SCHEMA = value_schema(Contract.load_file(CHECKOUT / "dags" / "streams" / "flight_events.yaml"))
VALID = Draft202012Validator(SCHEMA)
EVENTS = events_of(DAY)
FIRST = EVENTS[0]


def test_it_is_a_schema_and_every_event_of_a_day_keeps_it() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$id"] == "flight_events/1"
    types = {event.value["event_type"] for event in EVENTS}
    assert types == {"scheduled", "departed", "arrived", "cancelled"}
    assert [error.message for event in EVENTS for error in VALID.iter_errors(event.value)] == []


@pytest.mark.parametrize(
    "changes",
    [{"flight": "one"}, {"flight": None}, {"flight": 2**31}, {"event_type": "lost"}, {"dep_delay": "late"}],
)
def test_a_value_of_another_type_is_refused(changes: dict[str, Any]) -> None:
    assert not VALID.is_valid({**FIRST.value, **changes})


def test_what_must_be_there_is_required_and_headers_are_not() -> None:
    value = FIRST.value
    assert not VALID.is_valid({name: one for name, one in value.items() if name != "flight"})
    assert VALID.is_valid({name: one for name, one in value.items() if name != "tailnum"})
    assert "event_id" not in SCHEMA["properties"]


def test_lists_records_and_maps() -> None:
    contract = Contract.load_file(CHECKOUT / "dags" / "streams" / "flight_events.yaml")
    types = ["array<int>", "struct<a:int,b:json>", "map<string,array<date>>"]
    columns = [
        *contract.model_dump(mode="json")["columns"],
        *({"name": f"c{number}", "type": kind} for number, kind in enumerate(types)),
    ]
    data = {**contract.model_dump(mode="json"), "columns": columns}
    # Alerts read no such columns.
    data["source"]["alerts"] = None
    nested = Contract.from_dict(data, origin="test")
    schema = value_schema(nested)
    Draft202012Validator.check_schema(schema)
    valid = Draft202012Validator(schema)
    right = {"c0": [1, None], "c1": {"a": None, "b": [1]}, "c2": {"x": ["2024-02-29"], "y": None}}
    assert valid.is_valid({**FIRST.value, **right})
    assert valid.is_valid({**FIRST.value, **dict.fromkeys(right)})
    for wrong in ({"c0": {}}, {"c0": ["x"]}, {"c1": {"a": "x"}}, {"c1": []}, {"c2": {"x": [1]}}):
        assert not valid.is_valid({**FIRST.value, **right, **wrong}), wrong
    strict = {**nested.model_dump(mode="json"), "drift": {}}
    assert value_schema(Contract.from_dict(strict, origin="test"))["properties"]["c1"]["required"] == [
        "a",
        "b",
    ]
