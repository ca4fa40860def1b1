"""Hadoop streaming job: how late the flights of each month, carrier, route and hour arrive.

route_delay_statistics.py mapper | combiner | reducer

It runs where nothing but Python is installed, so it uses the standard library alone. Each role reads lines of
tab-separated UTF-8 text from standard input and writes such lines.

The mapper reads one flight a line, in the columns of `INPUT`. Mapper, combiner and reducer write one line for
each key, the columns of `KEY` and `STATISTICS`. Every statistic is a whole number and adds up exactly, in any
order and grouping: mean and variance follow from the sums, quantiles (roughly) from the bins.

Exit status 0, or `MALFORMED` when the mapper met lines that are not flights: they are counted, the first of
them quoted on standard error, and the job must not pass for a complete one.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import BinaryIO, TextIO

KEY = ("month", "carrier", "origin", "dest", "hour")
# The month is YYYY-MM, the hour that of the scheduled departure on the local wall clock (0 to 23). The delay
# is in whole minutes, negative when early; empty for a flight that did not arrive.
INPUT = (*KEY, "arr_delay_min")

# A flight is late when it arrives more than these minutes behind its schedule.
LATE_AFTER_MIN = 15
# Upper ends of the bins of delays, in minutes, each part of its bin; the last bin has no end. What is late is
# so the sum of the last four bins. Half of all flights arrive between -17 and 14 minutes, where bins are
# narrow; behind that each is about twice as wide as the one before.
BIN_ENDS_MIN = (-30, -15, 0, LATE_AFTER_MIN, 30, 60, 120)
STATISTICS = (
    "flights",  # all of them
    "arrivals",  # those with a delay; the bins add up to it
    "delay_sum_min",
    "delay_squares_min2",
    "late_arrivals",
    *(f"arrivals_to_{end}_min".replace("-", "minus_") for end in BIN_ENDS_MIN),
    f"arrivals_after_{BIN_ENDS_MIN[-1]}_min",
)

# Hadoop calls counters by group and name; neither may have a comma.
COUNTERS = "Route delay statistics"
# The status that BSD's sysexits.h gives to input data that is wrong.
MALFORMED = 65
QUOTED_LINES = 5

# Each value has one text only: otherwise `5` and `05` would be two groups of the same flights.
_FORMS = {
    "month": re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])"),
    "carrier": re.compile(r"[0-9A-Z]+"),
    "origin": re.compile(r"[0-9A-Z]+"),
    "dest": re.compile(r"[0-9A-Z]+"),
    "hour": re.compile(r"[0-9]|1[0-9]|2[0-3]"),
    "arr_delay_min": re.compile(r"(0|-?[1-9][0-9]*)?"),
}

Key = tuple[str, ...]
Statistics = tuple[int, ...]


class MalformedLineError(ValueError):
    """A line is no flight; says why."""


def flight(line: bytes) -> tuple[Key, int | None]:
    """Key and arrival delay (minutes) of the flight in `line`. Raises MalformedLineError."""
    try:
        values = line.decode().removesuffix("\n").split("\t")
    except UnicodeDecodeError:
        raise MalformedLineError("it is not UTF-8") from None
    if len(values) != len(INPUT):
        raise MalformedLineError(f"it has {len(values)} columns, not {len(INPUT)}")
    for name, value in zip(INPUT, values, strict=True):
        if not _FORMS[name].fullmatch(value):
            raise MalformedLineError(f"{value!r:.40} is not a value of {name}")
    *key, delay = values
    return tuple(key), int(delay) if delay else None


def statistics(delay: int | None) -> Statistics:
    """The statistics of one flight, as in `STATISTICS`."""
    bins = [0] * (len(BIN_ENDS_MIN) + 1)
    if delay is None:
        return (1, 0, 0, 0, 0, *bins)
    bins[bisect_left(BIN_ENDS_MIN, delay)] = 1
    return (1, 1, delay, delay * delay, int(delay > LATE_AFTER_MIN), *bins)


def map_lines(lines: Iterable[bytes], diagnostics: TextIO, task: str) -> Iterator[tuple[Key, Statistics]]:
    """Each flight's key and statistics. Counts flights and malformed lines, and quotes some of the latter.

    Args:
        diagnostics: where Hadoop reads counters, and people what went wrong.
        task: names the input in messages.

    Raises:
        SystemExit: with status `MALFORMED`, behind the last line, when a line was no flight.
    """
    flights = malformed = 0
    for number, line in enumerate(lines, 1):
        try:
            key, delay = flight(line)
        except MalformedLineError as error:
            malformed += 1
            if malformed <= QUOTED_LINES:
                print(f"malformed line: {task}, line {number}: {error}: {line[:200]!r}", file=diagnostics)
            continue
        flights += 1
        yield key, statistics(delay)
    print(f"reporter:counter:{COUNTERS},Flights,{flights}", file=diagnostics)
    print(f"reporter:counter:{COUNTERS},Malformed lines,{malformed}", file=diagnostics)
    if malformed:
        print(f"{malformed} malformed of {flights + malformed} lines: {task}", file=diagnostics)
        raise SystemExit(MALFORMED)


def add_up(partial: Iterable[tuple[Key, Statistics]]) -> Iterator[tuple[Key, Statistics]]:
    """The sums of each key's statistics, as combiner and as reducer: sums of sums are the sums.

    Raises ValueError when keys do not come sorted: one that comes twice would be two groups.
    """
    previous: Key = ()
    for key, of_key in groupby(partial, key=lambda pair: pair[0]):
        if key < previous:
            raise ValueError(f"{key} comes behind {previous}: the job must sort by all columns of the key")
        previous = key
        sums = [0] * len(STATISTICS)
        for _, values in of_key:
            sums = [total + value for total, value in zip(sums, values, strict=True)]
        yield key, tuple(sums)


def read_partial(lines: Iterable[bytes]) -> Iterator[tuple[Key, Statistics]]:
    """What a mapper or combiner has written. Raises ValueError when a line is anything else."""
    for line in lines:
        values = line.decode().removesuffix("\n").split("\t")
        if len(values) != len(KEY) + len(STATISTICS):
            raise ValueError(f"{len(values)} columns, not {len(KEY) + len(STATISTICS)}: {line!r}")
        yield tuple(values[: len(KEY)]), tuple(map(int, values[len(KEY) :]))


def task_name(environment: Mapping[str, str]) -> str:
    """Which part of which file a task reads, as Hadoop says it in the environment."""
    file = environment.get("mapreduce_map_input_file", "standard input")
    return f"{file} from byte {environment.get('mapreduce_map_input_start', '0')}"


def arg_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("role", choices=("mapper", "combiner", "reducer"))
    return parser


def run(role: str, source: Iterable[bytes], target: BinaryIO, diagnostics: TextIO, task: str) -> None:
    """Reads `source` and writes `target` in the role of mapper, combiner or reducer."""
    pairs = map_lines(source, diagnostics, task) if role == "mapper" else add_up(read_partial(source))
    for key, values in pairs:
        target.write("\t".join((*key, *map(str, values))).encode() + b"\n")


def main(argv: list[str]) -> None:
    role = arg_parser().parse_args(argv).role
    try:
        run(role, sys.stdin.buffer, sys.stdout.buffer, sys.stderr, task_name(os.environ))
    finally:
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
