"""The table of fault cases: what was done how often, what it did, and what it cost."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

UNKNOWN = "-"


@dataclass
class Outcome:
    """One case with one seed; None is what nobody has found out."""

    # Until it has recovered and been judged.
    failed: bool = True
    # Seconds from the fault to the end of the run.
    recovery_s: float | None = None
    lost: int | None = None
    doubled: int | None = None
    # Whether the fault made a step fail.
    hit: bool | None = None


@dataclass
class Report:
    """Outcomes by case, written to `path` with each of them, so that what has run is not lost either."""

    path: Path | None = None
    cases: dict[str, list[Outcome]] = field(default_factory=lambda: defaultdict(list))

    @contextmanager
    def run(self, case: str) -> Iterator[Outcome]:
        """One run of the case, in the table from its beginning: as failed, unless the block ends well."""
        outcome = Outcome()
        self.cases[case].append(outcome)
        self._write()
        try:
            yield outcome
            outcome.failed = False
        finally:
            self._write()

    def _write(self) -> None:
        if self.path is None:
            return
        lines = [
            "| case | runs | failed | hit | lost | doubled | recovery, median (s) | longest (s) |",
            "|---|---:|---:|---:|---:|---:|---:|---:|",
        ]
        for case, outcomes in self.cases.items():
            times = [one.recovery_s for one in outcomes if one.recovery_s is not None]
            cells = [
                case,
                str(len(outcomes)),
                str(sum(one.failed for one in outcomes)),
                _sum([one.hit for one in outcomes], "not asked"),
                _sum([one.lost for one in outcomes]),
                _sum([one.doubled for one in outcomes]),
                f"{statistics.median(times):.1f}" if times else UNKNOWN,
                f"{max(times):.1f}" if times else UNKNOWN,
            ]
            lines.append(f"| {' | '.join(cells)} |")
        self.path.write_text("\n".join(lines) + "\n")


def _sum(found: list[int | None] | list[bool | None], none: str = UNKNOWN) -> str:
    known = [one for one in found if one is not None]
    return str(sum(known)) if known else none
