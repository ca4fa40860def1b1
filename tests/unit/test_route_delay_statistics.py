"""Mapper, combiner and reducer of the route delay statistics, without Hadoop."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.transforms import arrival_delay_features
from millstream.transforms import route_delay_statistics as table
from spark_jobs.mapreduce import route_delay_statistics as job

SCRIPT = Path(job.__file__)
MORNING, EVENING = ("2013-01", "UA", "EWR", "IAH", "5"), ("2013-01", "UA", "EWR", "IAH", "17")
# Keys whose first columns are equal, so that a grouping by fewer columns shows.
KEYS = (MORNING, EVENING, ("2013-01", "AA", "JFK", "MIA", "5"), ("2013-02", "UA", "EWR", "IAH", "5"))
FLIGHTS = st.lists(
    st.tuples(st.sampled_from(KEYS), st.none() | st.integers(-90, 1300)), min_size=1, max_size=40
)


def line(key: tuple[str, ...], delay: int | None) -> bytes:
    return "\t".join((*key, "" if delay is None else str(delay))).encode() + b"\n"


def ran(role: str, lines: list[bytes]) -> list[bytes]:
    target = io.BytesIO()
    job.run(role, lines, target, io.StringIO(), "a test")
    return target.getvalue().splitlines(keepends=True)


def named(output: list[bytes]) -> dict[tuple[str, ...], dict[str, int]]:
    rows = [text.decode().rstrip("\n").split("\t") for text in output]
    keys = [tuple(row[: len(job.KEY)]) for row in rows]
    assert len(set(keys)) == len(keys)
    return {
        key: dict(zip(job.STATISTICS, map(int, row[len(job.KEY) :]), strict=True))
        for key, row in zip(keys, rows, strict=True)
    }


def counted(delays: list[int | None]) -> dict[str, int]:
    """The statistics of one group, by definition."""
    arrived = [delay for delay in delays if delay is not None]
    return {
        "flights": len(delays),
        "arrivals": len(arrived),
        "delay_sum_min": sum(arrived),
        "delay_squares_min2": sum(delay**2 for delay in arrived),
        "late_arrivals": sum(delay > 15 for delay in arrived),
        "arrivals_to_minus_30_min": sum(delay <= -30 for delay in arrived),
        "arrivals_to_minus_15_min": sum(-30 < delay <= -15 for delay in arrived),
        "arrivals_to_0_min": sum(-15 < delay <= 0 for delay in arrived),
        "arrivals_to_15_min": sum(0 < delay <= 15 for delay in arrived),
        "arrivals_to_30_min": sum(15 < delay <= 30 for delay in arrived),
        "arrivals_to_60_min": sum(30 < delay <= 60 for delay in arrived),
        "arrivals_to_120_min": sum(60 < delay <= 120 for delay in arrived),
        "arrivals_after_120_min": sum(delay > 120 for delay in arrived),
    }


@given(FLIGHTS, st.data())
def test_any_splits_and_any_number_of_combiners_give_the_statistics_of_all_flights(
    flights: list[tuple[tuple[str, ...], int | None]], data: st.DataObject
) -> None:
    splits = data.draw(st.lists(st.integers(0, len(flights)), max_size=3).map(sorted))
    partial: list[bytes] = []
    for first, end in pairwise((0, *splits, len(flights))):
        output = ran("mapper", [line(key, delay) for key, delay in flights[first:end]])
        for _ in range(data.draw(st.integers(0, 2))):
            cut = data.draw(st.integers(0, len(output)))
            output = [*ran("combiner", sorted(output[:cut])), *ran("combiner", sorted(output[cut:]))]
        partial += output
    expected = {
        key: counted([delay for of_key, delay in flights if of_key == key])
        for key in {key for key, _ in flights}
    }
    assert named(ran("reducer", sorted(partial))) == expected


@pytest.mark.parametrize("delay", [-31, -30, -29, -15, -14, 0, 1, 15, 16, 30, 31, 60, 61, 120, 121, None])
def test_the_ends_of_the_bins_are_part_of_them(delay: int | None) -> None:
    assert named(ran("mapper", [line(MORNING, delay)])) == {MORNING: counted([delay])}


def test_late_is_what_the_model_calls_late() -> None:
    assert job.LATE_AFTER_MIN == arrival_delay_features.LATE_MIN


def test_the_published_table_has_the_jobs_columns() -> None:
    """What the job writes is read by position."""
    assert tuple(table.SCHEMA.names) == (*job.KEY, *job.STATISTICS)
    assert table.KEY == job.KEY
    assert job.STATISTICS[-len(table.BINS) :] == table.BINS
    begins = zip(table.BINS[1:], job.BIN_ENDS_MIN, strict=True)
    assert tuple(name for name, begin in begins if begin >= job.LATE_AFTER_MIN) == table.LATE_BINS


WRONG = {
    b"": "1 columns, not 6",
    b"2013-01\tUA\tEWR\tIAH\t5": "5 columns, not 6",
    b"2013-01\tUA\tEWR\tIAH\t5\t1\t2": "7 columns, not 6",
    b"2013-13\tUA\tEWR\tIAH\t5\t1": "month",
    b"2013-01\t\tEWR\tIAH\t5\t1": "carrier",
    b"2013-01\tUA\tewr\tIAH\t5\t1": "origin",
    b"2013-01\tUA\tEWR\tI H\t5\t1": "dest",
    b"2013-01\tUA\tEWR\tIAH\t24\t1": "hour",
    b"2013-01\tUA\tEWR\tIAH\t05\t1": "hour",
    b"2013-01\tUA\tEWR\tIAH\t5\t1.0": "arr_delay_min",
    b"2013-01\tUA\tEWR\tIAH\t5\t1_0": "arr_delay_min",
    b"2013-01\tUA\tEWR\tIAH\t5\tNA": "arr_delay_min",
    b"2013-01\tUA\tEWR\tIAH\t5\t-0": "arr_delay_min",
    "2013-01\tUA\tEWR\tIAH\t5\t\u0663".encode(): "arr_delay_min",
    b"2013-01\tUA\tEWR\tIAH\t\xff\t1": "UTF-8",
    b"2013-01\tUA\tEWR\tIAH\t5\t1\r": "arr_delay_min",
}


@pytest.mark.parametrize(("wrong", "reason"), WRONG.items(), ids=map(repr, WRONG))
def test_a_malformed_line_is_counted_and_quoted_and_fails_the_mapper(wrong: bytes, reason: str) -> None:
    done = subprocess.run(
        [sys.executable, "-I", SCRIPT, "mapper"],
        input=line(MORNING, 4) + wrong + b"\n" + line(EVENING, None),
        capture_output=True,
        check=False,
    )
    assert done.returncode == job.MALFORMED
    assert named(done.stdout.splitlines()) == {MORNING: counted([4]), EVENING: counted([None])}
    printed = done.stderr.decode()
    assert "reporter:counter:Route delay statistics,Flights,2\n" in printed
    assert "reporter:counter:Route delay statistics,Malformed lines,1\n" in printed
    assert "standard input from byte 0, line 2: " in printed
    assert reason in printed.partition("line 2: ")[2].partition(": b")[0]


def test_lines_without_an_error_end_with_status_0_and_a_count_of_none() -> None:
    done = subprocess.run(
        [sys.executable, "-I", SCRIPT, "mapper"], input=line(MORNING, 4), capture_output=True, check=True
    )
    assert done.stderr.decode().splitlines() == [
        "reporter:counter:Route delay statistics,Flights,1",
        "reporter:counter:Route delay statistics,Malformed lines,0",
    ]


def test_keys_that_are_not_sorted_are_refused() -> None:
    mapped = ran("mapper", [line(MORNING, 1), line(EVENING, 2), line(MORNING, 3)])
    with pytest.raises(ValueError, match="must sort by all columns of the key"):
        ran("reducer", mapped)


def test_a_line_of_another_job_is_refused() -> None:
    with pytest.raises(ValueError, match="6 columns, not 18"):
        ran("reducer", [line(MORNING, 1)])


def test_the_script_imports_the_standard_library_alone() -> None:
    imported = set()
    for node in ast.walk(ast.parse(SCRIPT.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level
            imported.add(str(node.module).partition(".")[0])
    assert "re" in imported
    assert imported <= sys.stdlib_module_names
