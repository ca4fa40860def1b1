"""The flights of a day as events: scheduled, then departed and arrived, or cancelled.

A flight is announced two hours before its scheduled departure, departs when the reference data says, or is
cancelled at its scheduled time. Arrival times of the reference are on the destination's clock, whose zone it
does not have: an arrival is put at the departure plus the time in the air, or what the clocks say.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from millstream_demo.reference import MISSING, flight_lines

SCHEMA_VERSION = 1
ORIGIN_ZONE = ZoneInfo("America/New_York")
ANNOUNCED = timedelta(hours=2)
KEY = ("year", "month", "day", "carrier", "flight", "origin")
# What each type of event says of its flight besides the key.
FIELDS: dict[str, tuple[str, ...]] = {
    "scheduled": ("tailnum", "dest", "sched_dep_time", "sched_arr_time", "distance"),
    "departed": ("dep_time", "dep_delay"),
    "arrived": ("arr_time", "arr_delay", "air_time"),
    "cancelled": (),
}
TEXTS = frozenset({"carrier", "origin", "dest", "tailnum"})


@dataclass(frozen=True)
class Event:
    """One event; `key` names the flight, `event_id` the event: sent again, it has the same id."""

    key: str
    event_id: str
    event_time: datetime
    value: dict[str, Any]

    @property
    def headers(self) -> list[tuple[str, str | bytes | None]]:
        return [
            ("event_id", self.event_id),
            ("event_time", self.event_time.strftime("%Y-%m-%dT%H:%M:%SZ")),
            ("schema_version", str(SCHEMA_VERSION)),
        ]


def events_of(day: date) -> list[Event]:
    """Every event of the flights that were to depart on `day` of 2013, in the order of time."""
    found = [event for flight in _flights(day) for event in _events(flight)]
    return sorted(found, key=lambda event: (event.event_time, event.event_id))


def _flights(day: date) -> Iterator[dict[str, str]]:
    header, days = _lines_by_day()
    yield from csv.DictReader(io.StringIO((header + days.get(day, b"")).decode()))


@cache
def _lines_by_day() -> tuple[bytes, dict[date, bytes]]:
    """The header, and the lines of each day. Kept, some 50 MB: to look for one takes a second and a half."""
    lines = flight_lines()
    header, days = next(lines), dict[date, list[bytes]]()
    for line in lines:
        year, month, day, _ = line.split(b",", 3)
        days.setdefault(date(int(year), int(month), int(day)), []).append(line)
    return header, {day: b"".join(found) for day, found in days.items()}


def _events(flight: dict[str, str]) -> Iterator[Event]:
    scheduled = _scheduled(flight)
    yield _event("scheduled", scheduled - ANNOUNCED, flight)
    if flight["dep_time"] == MISSING:
        yield _event("cancelled", scheduled, flight)
        return
    departed = scheduled + timedelta(minutes=float(flight["dep_delay"]))
    yield _event("departed", departed, flight)
    if flight["arr_time"] != MISSING:
        yield _event("arrived", departed + _under_way(flight), flight)


def _scheduled(flight: dict[str, str]) -> datetime:
    hour, minute = divmod(int(flight["sched_dep_time"]), 100)
    local = datetime(int(flight["year"]), int(flight["month"]), int(flight["day"]), hour, minute)
    return local.replace(tzinfo=ORIGIN_ZONE).astimezone(UTC)


def _under_way(flight: dict[str, str]) -> timedelta:
    if flight["air_time"] != MISSING:
        return timedelta(minutes=float(flight["air_time"]))
    left, arrived = (timedelta(hours=time // 100, minutes=time % 100) for time in _clocks(flight))
    return (arrived - left) % timedelta(days=1)


def _clocks(flight: dict[str, str]) -> tuple[int, int]:
    return int(flight["dep_time"]), int(flight["arr_time"])


def _event(kind: str, moment: datetime, flight: dict[str, str]) -> Event:
    day = date(int(flight["year"]), int(flight["month"]), int(flight["day"]))
    key = f"{day}/{flight['carrier']}/{flight['flight']}/{flight['origin']}"
    fields = {name: _value(name, flight[name]) for name in (*KEY, *FIELDS[kind])}
    return Event(key, f"{key}/{kind}", moment, {"event_type": kind, **fields})


def _value(name: str, text: str) -> Any:
    if text in (MISSING, ""):
        return None
    if name in TEXTS:
        return text
    number = float(text)
    return int(number) if number.is_integer() else number
