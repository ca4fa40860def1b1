"""The table of fault cases: what was done how often, what it did, and what it cost.

`python tests/support/fault_report.py PART.jsonl...` prints one table of cases that were run in parts.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
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
    # Whether the tries of a step were over, so that a person had to clear the run.
    cleared: bool | None = None


@dataclass
class Report:
    """Outcomes by case, written to `path` with each of them, so that what has run is not lost.

    Beside the table, with the suffix .jsonl, is a line for each run: `case` and the fields of its `Outcome`.
    """

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

    def read(self, part: Path) -> None:
        """Add the runs of the report whose lines are in `part`."""
        for line in part.read_text().splitlines():
            one = json.loads(line)
            self.cases[one.pop("case")].append(Outcome(**one))

    def table(self) -> str:
        lines = [
            "| case | runs | failed | hit | cleared | lost | doubled | recovery, median (s) | longest (s) |",
            "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
        ]
        for case, outcomes in self.cases.items():
            times = [one.recovery_s for one in outcomes if one.recovery_s is not None]
            cells = [
                case,
                str(len(outcomes)),
                str(sum(one.failed for one in outcomes)),
                _sum([one.hit for one in outcomes], "not asked"),
                _sum([one.cleared for one in outcomes]),
                _sum([one.lost for one in outcomes]),
                _sum([one.doubled for one in outcomes]),
                f"{statistics.median(times):.1f}" if times else UNKNOWN,
                f"{max(times):.1f}" if times else UNKNOWN,
            ]
            lines.append(f"| {' | '.join(cells)} |")
        return "\n".join(lines) + "\n"

    def _write(self) -> None:
        if self.path is None:
            return
        _replace(self.path, self.table())
        runs = ({"case": case, **asdict(one)} for case, outcomes in self.cases.items() for one in outcomes)
        _replace(self.path.with_suffix(".jsonl"), "".join(f"{json.dumps(run)}\n" for run in runs))


def _replace(path: Path, text: str) -> None:
    """A full disk, or a kill, leaves the file as it was."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(text)
    fresh.replace(path)


def _sum(found: list[int | None] | list[bool | None], none: str = UNKNOWN) -> str:
    known = [one for one in found if one is not None]
    return str(sum(known)) if known else none


if __name__ == "__main__":
    whole = Report()
    for name in sys.argv[1:]:
        whole.read(Path(name))
    print(whole.table(), end="")
