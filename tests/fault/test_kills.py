"""SIGKILL of the JVM that commits, at named points and at random moments: nothing lost, nothing doubled.

The run is real: landed bytes, bronze, staging, gate, quarantine and publish of a month of flights with broken
and repeated rows in it. A reader who looks while the server is dead sees the old table or the new one, whole.
"""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from pathlib import Path

import pytest
from chain import Chain, contract_of, month_zip, small_suite
from harness import (
    Journal,
    Killer,
    Server,
    account,
    after_seconds,
    carry,
    rows_of,
)
from report import Outcome, Report

from millstream.lake.tables import TableRef
from millstream_demo import reference

pytestmark = [pytest.mark.fault, pytest.mark.timeout(900)]

MONTH = "2013-01"
OLD, NEW, BROKEN, REPEATED = 200, 400, 7, 5

KEPT_DISTANCE = {
    "type": "expect_column_values_to_be_between",
    "kwargs": {"column": "distance_mi", "min_value": 1, "mostly": 0.9},
    "severity": "critical",
    "meta": {},
}


class Month:
    """A lake of its own whose January holds `OLD` flights, and a delivery that replaces them."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.chain = Chain(None, folder, contract_of("flights"), small_suite(KEPT_DISTANCE))  # type: ignore[arg-type]
        lines = [line.decode().strip() for line in itertools.islice(reference.flight_lines(), NEW + 1)]
        self.header, self.lines = lines[0], lines[1:]
        self.deliver(self.lines[:OLD])
        self.land("old")
        carry(server, self.chain, "old", [MONTH], Journal())
        self.deliver(
            [*map(_broken, self.lines[:BROKEN]), *self.lines[BROKEN:NEW], *self.lines[NEW - REPEATED : NEW]]
        )

    @property
    def root(self) -> str:
        return self.chain.root

    def deliver(self, lines: list[str]) -> None:
        self.chain.put(f"flights/flights_{MONTH}.csv.zip", month_zip(*lines, header=self.header))

    def land(self, run: str) -> None:
        self.chain.land(run, [MONTH])

    def judge(self, case: str, journal: Journal, report: Report) -> None:
        """What must hold after any fault: every row accounted for, once."""
        table = TableRef.parse("silver.flights")
        published = rows_of(table, self.root)
        kept = rows_of(table.quarantine, self.root)
        counts = account(table, self.root)
        doubled = sum(count - 1 for count in Counter([*published, *kept]).values())
        lost = (NEW + REPEATED) - (len(set(published)) + len(set(kept)) + counts.deduplicated)
        report.add(case, Outcome(journal.recovery_s, lost, doubled, hit=bool(journal.failures)))
        assert (lost, doubled) == (0, 0), journal
        assert counts.read == NEW + REPEATED
        assert (counts.written, counts.quarantined, counts.deduplicated) == (NEW - BROKEN, BROKEN, REPEATED)
        assert len(published) == NEW - BROKEN
        assert set(journal.seen) <= {OLD, NEW - BROKEN}, "a reader saw a table that was neither old nor new"


def _broken(line: str) -> str:
    """The same flight with a negative distance."""
    values = line.split(",")
    values[15] = f"-{values[15]}"
    return ",".join(values)


@pytest.fixture
def month(server: Server, tmp_path: Path) -> Month:
    return Month(server, tmp_path)


def test_a_commit_that_is_cut_off(server: Server, month: Month, report: Report, point: str, log: str) -> None:
    journal = Journal()
    month.land("new")
    server.arm(point, log)
    killer = Killer(server, month.chain.table, month.root, journal, server.reached)
    # A lost reply needs no kill: the server goes on, believing that its commit has failed.
    if point != "lost":
        killer.start()
    carry(server, month.chain, "new", [MONTH], journal)
    if point != "lost":
        killer.end()
    assert server.reached(), "the run never came to the point"
    month.judge(f"{point} the commit of {log.removesuffix('/_delta_log')}", journal, report)


@pytest.fixture(scope="module")
def clean_seconds(server: Server, tmp_path_factory: pytest.TempPathFactory) -> float:
    """What the delivery takes when nothing happens."""
    month = Month(server, tmp_path_factory.mktemp("clean"))
    began = time.monotonic()
    month.land("new")
    carry(server, month.chain, "new", [MONTH], Journal())
    return time.monotonic() - began


def test_a_kill_at_any_moment(
    server: Server, clean_seconds: float, month: Month, report: Report, seed: int
) -> None:
    journal = Journal()
    month.land("new")
    moment = random.Random(seed).uniform(0, clean_seconds)
    killer = Killer(server, month.chain.table, month.root, journal, after_seconds(moment))
    killer.start()
    carry(server, month.chain, "new", [MONTH], journal)
    killer.end()
    month.judge("a random moment", journal, report)
