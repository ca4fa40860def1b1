"""A delivery with good, broken and repeated rows, and what must hold whatever happens while it is carried."""

from __future__ import annotations

import itertools
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from millstream.lake import history
from millstream.lake.accounts import PartitionCounts
from millstream.lake.tables import TableRef
from millstream_demo import reference
from tests.support.chain import Chain, contract_of, month_zip, small_suite
from tests.support.fault_report import Outcome
from tests.support.harness import Journal, Server, account, carry, rows_of

MONTH = "2013-01"
OLD, NEW, BROKEN, REPEATED = 200, 400, 7, 5

KEPT_DISTANCE = {
    "type": "expect_column_values_to_be_between",
    "kwargs": {"column": "distance_mi", "min_value": 1, "mostly": 0.9},
    "severity": "critical",
    "meta": {},
}


@dataclass(frozen=True)
class Undisturbed:
    """What the delivery comes to, and how long it takes, when nothing happens."""

    counts: PartitionCounts
    seconds: float


class Month:
    """A lake of its own whose January holds `OLD` flights, and a delivery that replaces them.

    `like` is another such lake, as it was made: then this one is its copy.
    """

    def __init__(self, server: Server, folder: Path, like: Month | None = None) -> None:
        self.server = server
        self.chain = Chain(None, folder, contract_of("flights"), small_suite(KEPT_DISTANCE))  # type: ignore[arg-type]
        lines = [line.decode().strip() for line in itertools.islice(reference.flight_lines(), NEW + 1)]
        self.header, self.lines = lines[0], lines[1:]
        if like is not None:
            shutil.copytree(like.chain.drop.parent, folder, dirs_exist_ok=True)
            return
        self.deliver(self.lines[:OLD])
        self.land("old")
        carry(server, self.chain, "old", [MONTH], Journal())
        self.deliver(
            [*map(_broken, self.lines[:BROKEN]), *self.lines[BROKEN:NEW], *self.lines[NEW - REPEATED : NEW]]
        )

    @property
    def root(self) -> str:
        return self.chain.root

    def deliver(self, lines: list[str], month: str = MONTH) -> None:
        self.chain.put(f"flights/flights_{month}.csv.zip", month_zip(*lines, header=self.header))

    def lines_of(self, month: int, number: int) -> list[str]:
        """The first flights of a month of 2013."""
        wanted = (
            line.decode().strip() for line in reference.flight_lines() if line.startswith(b"2013,%d," % month)
        )
        return list(itertools.islice(wanted, number))

    def land(self, run: str) -> None:
        self.chain.land(run, [MONTH])

    def judge(self, journal: Journal, outcome: Outcome) -> None:
        """What must hold after any fault: every row accounted for, once, and every failure told."""
        table = TableRef.parse("silver.flights")
        published = rows_of(table, self.root)
        kept = rows_of(table.quarantine, self.root)
        counts = account(table, self.root)
        doubled = sum(count - 1 for count in Counter([*published, *kept]).values())
        lost = (NEW + REPEATED) - (len(set(published)) + len(set(kept)) + counts.deduplicated)
        outcome.recovery_s, outcome.hit = journal.recovery_s, bool(journal.failures)
        outcome.lost, outcome.doubled = lost, doubled
        assert (lost, doubled) == (0, 0), journal
        assert counts.read == NEW + REPEATED
        assert (counts.written, counts.quarantined, counts.deduplicated) == (NEW - BROKEN, BROKEN, REPEATED)
        assert len(published) == NEW - BROKEN
        assert len(kept) == BROKEN
        assert set(journal.seen) <= {OLD, NEW - BROKEN}, "a reader saw a table that was neither old nor new"
        assert all(message.strip() for message in journal.messages), "a try failed without a word"

    def converges(self, journal: Journal, undisturbed: PartitionCounts) -> None:
        """What a person may count on who clears the run: nothing changes, and the account, with the hashes of
        all rows, is that of a run to which nothing happened."""
        failures, version = len(journal.failures), self.chain.version()
        again = carry(self.server, self.chain, "new", [MONTH], journal)
        assert (again["changed"], self.chain.version()) == (False, version)
        assert self.counts() == undisturbed
        assert len(journal.failures) == failures, journal

    def verdicts(self, run: str) -> list[str]:
        """Names of the verdicts on what the run has staged."""
        folder = Path(self.root.removeprefix("file://")) / "staging"
        return [path.name for path in folder.rglob(f"*{run}__verdict.json")]

    def counts(self) -> PartitionCounts:
        """The month's account."""
        return history.read(self.chain.table, self.root).latest_by_partition()[MONTH][1]


def _broken(line: str) -> str:
    """The same flight with a negative distance."""
    values = line.split(",")
    values[15] = f"-{values[15]}"
    return ",".join(values)
