"""The MapReduce job of delays: each role by itself, over lines as `export_records` writes them."""

from __future__ import annotations

import ast
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from millstream.engines.mapreduce import AIRPORT_DELAYS
from spark_jobs.mapreduce import airport_delays as job
from tests.support.airport_delays import record_line
from tests.support.streaming import day_messages

SENT = day_messages()
DEPARTED = next(one for one in SENT if b'"departed"' in (one[1] or b""))
# Not a value of the record, but how many of the good records' events are left without it.
HEADERS = dict(DEPARTED[2])


def changed(**fields: object) -> tuple[object, ...]:
    key, value, headers, partition = DEPARTED
    assert value is not None
    return key, json.dumps({**json.loads(value), **fields}).encode(), headers, partition


def with_headers(**named: str) -> tuple[object, ...]:
    headers = [(name, value) for name, value in {**HEADERS, **named}.items() if value]
    return (*DEPARTED[:2], headers, DEPARTED[3])


def roles(*lines: bytes) -> tuple[list[list[str]], str]:
    """What mapper, combiner and reducer make of the lines, one after the other, and the mapper's counters."""
    diagnostics, text = io.StringIO(), b"".join(lines)
    for role in ("mapper", "combiner", "reducer"):
        target = io.BytesIO()
        job.run(role, io.BytesIO(text), target, diagnostics)
        text = b"".join(sorted(target.getvalue().splitlines(keepends=True)))
    return [line.split("\t") for line in text.decode().splitlines()], diagnostics.getvalue()


def test_a_departure_is_an_event_and_its_groups_figures() -> None:
    fields = json.loads(DEPARTED[1] or b"")
    (event, group), counters = roles(record_line(DEPARTED, 0, 7))
    hour = f"{HEADERS['event_time'][:10]} {HEADERS['event_time'][11:13]}:00:00"
    delay = str(int(fields["dep_delay"]))
    place = [fields["origin"], fields["carrier"], hour]
    assert event == ["event", HEADERS["event_id"], "0", "7", *place, "departed", delay]
    late = str(int(int(delay) > 15))
    assert dict(zip(job.FIGURES, group[4:], strict=True)) == {
        **dict.fromkeys(job.FIGURES, "0"),
        **{"departed": "1", "late_departures": late, "departure_delay_min": delay},
    }
    assert group[:4] == ["group", *place]
    assert "counter:Airport delays,Events,1" in counters


@pytest.mark.parametrize(
    "message",
    [
        (DEPARTED[0], b"{not json", *DEPARTED[2:]),
        (DEPARTED[0], b"\xff\xfe", *DEPARTED[2:]),
        (DEPARTED[0], b"[1]", *DEPARTED[2:]),
        (DEPARTED[0], (DEPARTED[1] or b"")[:-1] + b', "flight": 2}', *DEPARTED[2:]),
        (DEPARTED[0], (DEPARTED[1] or b"")[:-1] + b', "more": NaN}', *DEPARTED[2:]),
        (DEPARTED[0], None, *DEPARTED[2:]),
        (None, *DEPARTED[1:]),
        with_headers(schema_version="9"),
        with_headers(schema_version=""),
        with_headers(event_time="1970-01-01T00:00:00Z"),
        with_headers(event_id=""),
        (*DEPARTED[:2], [*DEPARTED[2], DEPARTED[2][0]], 0),
        changed(flight="one"),
        changed(flight=None),
        changed(flight=10_000),
        changed(origin="BOS"),
        changed(carrier="ua"),
        changed(month=13),
        changed(event_type="landed"),
        changed(dep_time=None),
        changed(distance=0),
    ],
)
def test_a_record_that_breaks_a_rule_is_counted_and_left_out(message: tuple[object, ...]) -> None:
    rows, counters = roles(record_line(message, 0, 1))
    assert rows == []
    assert "counter:Airport delays,Broken records,1" in counters


def test_of_records_with_one_id_the_first_counts_whichever_comes_first() -> None:
    later, first = changed(dep_delay=99), changed(dep_delay=3)
    for lines in ([(later, 12), (first, 9)], [(first, 9), (later, 12)]):
        rows, _ = roles(*(record_line(message, 0, offset) for message, offset in lines))
        assert (rows[0][0], rows[0][-1]) == ("event", "3")
        assert len(rows) == 2


def test_an_id_with_tabs_and_line_ends_stays_one() -> None:
    rows, _ = roles(record_line(with_headers(event_id="a\tb\nc\r%"), 0, 1))
    assert rows[0][1] == "a%09b%0Ac%0D%25"


def test_what_comes_unsorted_is_refused() -> None:
    target = io.BytesIO()
    for message in sorted(SENT[:9], key=lambda one: str(dict(one[2])["event_id"]), reverse=True):
        job.run("mapper", [record_line(message, 0, 1)], target, io.StringIO())
    with pytest.raises(ValueError, match="must sort by the event's id"):
        job.run("reducer", io.BytesIO(target.getvalue()), io.BytesIO(), io.StringIO())


def test_it_imports_the_standard_library_alone_and_runs_isolated() -> None:
    tree = ast.parse(AIRPORT_DELAYS.script.read_text())
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= sys.stdlib_module_names
    done = subprocess.run(
        [sys.executable, "-I", str(AIRPORT_DELAYS.script), "mapper"],
        input=record_line(DEPARTED, 0, 7), capture_output=True, check=True, cwd=Path("/"),
    )  # fmt: skip
    assert done.stdout.split(b"\t")[0].decode() == HEADERS["event_id"]
