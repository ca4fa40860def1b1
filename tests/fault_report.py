"""The table of fault cases: what was done how often, and what it cost."""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Outcome:
    """One case with one seed."""

    recovery_s: float
    lost: int
    doubled: int
    # Whether the fault made a step fail; None where nobody looked.
    hit: bool | None = None


@dataclass
class Report:
    """Outcomes by case, written to `path` with each of them, so that what has run is not lost either."""

    path: Path | None = None
    cases: dict[str, list[Outcome]] = field(default_factory=lambda: defaultdict(list))

    def add(self, case: str, outcome: Outcome) -> None:
        self.cases[case].append(outcome)
        if self.path is not None:
            self._write(self.path)

    def _write(self, path: Path) -> None:
        lines = [
            "| case | runs | hit | lost | doubled | recovery, median (s) | longest (s) |",
            "|---|---:|---:|---:|---:|---:|---:|",
        ]
        for case, outcomes in self.cases.items():
            times = [one.recovery_s for one in outcomes if one.hit is not False] or [0.0]
            lines.append(
                f"| {case} | {len(outcomes)} | {_hits(outcomes)} | "
                f"{sum(one.lost for one in outcomes)} | {sum(one.doubled for one in outcomes)} | "
                f"{statistics.median(times):.1f} | {max(times):.1f} |"
            )
        path.write_text("\n".join(lines) + "\n")


def _hits(outcomes: list[Outcome]) -> str:
    known = [one.hit for one in outcomes if one.hit is not None]
    return str(sum(known)) if known else "not asked"
