"""Hadoop streaming job: delays by airport, carrier and hour, out of the records of a topic as received.

airport_delays.py mapper | combiner | reducer

It decodes, validates, deduplicates and adds up by code of its own, with nothing but the standard library, so
that what other programs make of the same records can be compared with it. Each role reads lines of
tab-separated UTF-8 text from standard input and writes such lines.

The mapper reads one record a line, in the columns of `INPUT`; bytes are written in hexadecimal digits, and
what is not there as `-`. Mapper and combiner write one line for each event that breaks no rule, in the
columns of `EVENT`; a record that breaks one is counted and left out. Of the records with one event id the
first of its partition counts. Ids are written as in URLs (`%09` for a tab). The reducer writes two kinds of
lines, with their kind in front: `event`, and for each group `group` with the columns of `GROUP` and
`FIGURES`, which are whole numbers.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from itertools import groupby
from typing import Any, BinaryIO, NamedTuple, TextIO
from urllib.parse import quote

# `headers` are `name:value`, both in hexadecimal digits, with commas between.
INPUT = ("partition", "offset", "key", "value", "headers")
EVENT = ("event_id", "partition", "offset", "airport", "carrier", "hour", "event_type", "delay_min")
GROUP = ("airport", "carrier", "hour")
FIGURES = (
    *("scheduled", "cancelled", "departed", "late_departures", "departure_delay_min"),
    *("arrived", "late_arrivals", "arrival_delay_min"),
)
ABSENT = "-"

LATE_AFTER_MIN = 15
VERSIONS = ("1",)
AIRPORTS = ("EWR", "JFK", "LGA")
CARRIER = re.compile(r"[A-Z0-9]{2}")
FIRST, LAST = datetime(2012, 12, 31, tzinfo=UTC), datetime(2014, 1, 3, tzinfo=UTC)
MILES = (1, 6000)
# What must be known of an event besides what all have, by its type.
NEEDED = {"scheduled": "sched_dep_time", "departed": "dep_time", "arrived": "arr_time", "cancelled": None}
DELAY = {"departed": "dep_delay", "arrived": "arr_delay"}
WHOLE_NUMBERS = (
    *("year", "month", "day", "flight"),
    *("sched_dep_time", "sched_arr_time", "dep_time", "arr_time"),
)
NUMBERS = ("distance", "dep_delay", "arr_delay", "air_time")
TEXTS = ("event_type", "carrier", "origin", "dest", "tailnum")
# Whole numbers have 32 bits.
LARGEST = 2**31 - 1
NEVER_NULL = ("event_type", "year", "month", "day", "carrier", "flight", "origin")

COUNTERS = "Airport delays"


class BrokenError(Exception):
    """The record breaks a rule; says which."""


class Event(NamedTuple):
    """An event as text, in the columns of `EVENT`."""

    event_id: str
    partition: str
    offset: str
    airport: str
    carrier: str
    hour: str
    event_type: str
    delay_min: str

    @property
    def place(self) -> tuple[int, int]:
        return int(self.partition), int(self.offset)


def event_of(line: bytes) -> Event:
    """The event of a record. Raises BrokenError; ValueError where the line is none of `INPUT`'s columns."""
    partition, offset, key, value, headers = line.decode().removesuffix("\n").split("\t")
    beside = headers_of(headers)
    if value == ABSENT or key == ABSENT:
        raise BrokenError("no value, or no key")
    if beside.get("schema_version") not in VERSIONS:
        raise BrokenError("schema version")
    fields = fields_of(bytes.fromhex(value))
    check_types(fields)
    event_id, moment = beside.get("event_id"), moment_of(beside.get("event_time"))
    if event_id is None:
        raise BrokenError("no event id")
    check_rules(fields, moment)
    delay = fields.get(DELAY.get(fields["event_type"], ""))
    return Event(
        quote(event_id, safe="/:"),
        partition,
        offset,
        fields["origin"],
        fields["carrier"],
        moment.strftime("%Y-%m-%d %H:00:00"),
        fields["event_type"],
        # As a whole number: towards zero.
        "" if delay is None else str(int(delay)),
    )


def headers_of(text: str) -> dict[str, str]:
    """The headers by name; one that comes twice, or is no UTF-8, is an error."""
    named: dict[str, str] = {}
    for pair in filter(None, text.split(",")):
        name, _, value = pair.partition(":")
        known = bytes.fromhex(name).decode(errors="replace")
        if known not in ("event_id", "event_time", "schema_version") or value == ABSENT:
            continue
        if known in named:
            raise BrokenError("a header comes twice")
        try:
            named[known] = bytes.fromhex(value).decode()
        except UnicodeDecodeError:
            raise BrokenError("a header is not UTF-8") from None
    return named


def fields_of(value: bytes) -> dict[str, Any]:
    """The JSON object of a record's value."""
    try:
        fields = json.loads(value.decode(), object_pairs_hook=each_once, parse_constant=refused)
    except (ValueError, RecursionError) as error:
        raise BrokenError(f"not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise BrokenError("no JSON object")
    return fields


def each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise BrokenError("a field comes twice")
    return fields


def refused(constant: str) -> Any:
    raise BrokenError(f"no number: {constant}")


def check_types(fields: dict[str, Any]) -> None:
    for name in NEVER_NULL:
        if fields.get(name) is None:
            raise BrokenError(f"{name} is missing")
    for names, kinds in ((WHOLE_NUMBERS, int), (NUMBERS, (int, float)), (TEXTS, str)):
        for name in names:
            value = fields.get(name)
            if value is None:
                continue
            if not isinstance(value, kinds) or isinstance(value, bool):
                raise BrokenError(f"{name} is of another type")
            if not isinstance(value, str) and not -LARGEST - 1 <= value <= LARGEST:
                raise BrokenError(f"{name} is too large")


def moment_of(text: str | None) -> datetime:
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        raise BrokenError("no time") from None
    if moment.tzinfo is None:
        raise BrokenError("a time without its zone")
    return moment.astimezone(UTC)


def check_rules(fields: dict[str, Any], moment: datetime) -> None:
    try:
        date(fields["year"], fields["month"], fields["day"])
    except (ValueError, OverflowError):
        raise BrokenError("no day of the calendar") from None
    kind, distance = fields["event_type"], fields.get("distance")
    if kind not in NEEDED:
        raise BrokenError("event_type")
    needed = NEEDED[kind]
    if not (
        CARRIER.fullmatch(fields["carrier"])
        and fields["origin"] in AIRPORTS
        and FIRST <= moment <= LAST
        and 1 <= fields["flight"] <= 9999
        and (needed is None or fields.get(needed) is not None)
        and (distance is None or MILES[0] <= distance <= MILES[1])
    ):
        raise BrokenError("a rule of the row")


def map_lines(lines: Iterable[bytes], diagnostics: TextIO) -> Iterator[Event]:
    """The events of the records that break no rule. Counts these, and the others."""
    good = broken = 0
    for line in lines:
        try:
            event = event_of(line)
        except BrokenError:
            broken += 1
            continue
        good += 1
        yield event
    print(f"reporter:counter:{COUNTERS},Events,{good}", file=diagnostics)
    print(f"reporter:counter:{COUNTERS},Broken records,{broken}", file=diagnostics)


def firsts(lines: Iterable[bytes]) -> Iterator[Event]:
    """Of each event id the first record: of a mapper's or a combiner's lines, which come sorted by it.

    Raises ValueError when they do not: an event that comes twice would count twice.
    """
    events = (Event(*line.decode().removesuffix("\n").split("\t")) for line in lines)
    previous = ""
    for event_id, same in groupby(events, key=lambda event: event.event_id):
        # By its bytes, as Hadoop sorts; Python compares code points, whose order UTF-8 keeps.
        if event_id < previous:
            raise ValueError(f"{event_id} comes behind {previous}: the job must sort by the event's id")
        previous = event_id
        yield min(same, key=lambda event: event.place)


def reduced(events: Iterable[Event]) -> Iterator[tuple[str, ...]]:
    """Each event, then the figures of each group. They are kept in memory: a year has some 100,000."""
    groups: dict[tuple[str, ...], dict[str, int]] = {}
    for event in events:
        group = (event.airport, event.carrier, event.hour)
        figures = groups.setdefault(group, dict.fromkeys(FIGURES, 0))
        figures[event.event_type] += 1
        if event.delay_min and event.event_type in DELAY:
            departs = event.event_type == "departed"
            delay = int(event.delay_min)
            figures["departure_delay_min" if departs else "arrival_delay_min"] += delay
            figures["late_departures" if departs else "late_arrivals"] += delay > LATE_AFTER_MIN
        yield ("event", *event)
    for place in sorted(groups):
        yield ("group", *place, *(str(groups[place][name]) for name in FIGURES))


def arg_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("role", choices=("mapper", "combiner", "reducer"))
    return parser


def run(role: str, source: Iterable[bytes], target: BinaryIO, diagnostics: TextIO) -> None:
    """Reads `source` and writes `target` in the role of mapper, combiner or reducer."""
    rows: Iterable[tuple[str, ...]]
    if role == "mapper":
        rows = map_lines(source, diagnostics)
    else:
        rows = firsts(source) if role == "combiner" else reduced(firsts(source))
    for row in rows:
        target.write("\t".join(row).encode() + b"\n")


def main(argv: list[str]) -> None:
    role = arg_parser().parse_args(argv).role
    try:
        run(role, sys.stdin.buffer, sys.stdout.buffer, sys.stderr)
    finally:
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
