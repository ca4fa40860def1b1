"""The table of fault cases hides no run that went wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import fault_report
from tests.support.fault_report import Report


def rows(path: Path) -> dict[str, list[str]]:
    lines = [line.strip("| ").split(" | ") for line in path.read_text().splitlines()]
    assert lines[0][:3] == ["case", "runs", "failed"]
    return {line[0]: line[1:] for line in lines[2:]}


def test_a_run_that_never_recovers_is_in_the_table_as_failed(tmp_path: Path) -> None:
    report = Report(tmp_path / "faults.md")
    with report.run("a kill") as outcome:
        outcome.recovery_s, outcome.lost, outcome.doubled, outcome.hit = 12.34, 0, 0, True
    expected = {"a kill": ["2", "1", "1", "-", "0", "0", "12.3", "12.3"]}

    def hangs() -> None:
        with report.run("a kill"):
            # A test's process may be ended here.
            assert rows(tmp_path / "faults.md") == expected
            raise TimeoutError

    with pytest.raises(TimeoutError):
        hangs()
    assert rows(tmp_path / "faults.md") == expected


def test_a_run_that_loses_rows_is_failed_and_its_rows_are_counted(tmp_path: Path) -> None:
    report = Report(tmp_path / "faults.md")

    def loses() -> None:
        with report.run("a kill") as outcome:
            outcome.lost, outcome.doubled, outcome.hit = 3, 1, False
            assert (outcome.lost, outcome.doubled) == (0, 0)

    with pytest.raises(AssertionError):
        loses()
    assert rows(tmp_path / "faults.md") == {"a kill": ["1", "1", "0", "-", "3", "1", "-", "-"]}


def test_what_nobody_has_found_out_is_not_nought(tmp_path: Path) -> None:
    report = Report(tmp_path / "faults.md")
    with report.run("two at once"):
        pass
    assert rows(tmp_path / "faults.md") == {"two at once": ["1", "0", "not asked", "-", "-", "-", "-", "-"]}


def test_parts_that_were_run_apart_make_one_table(tmp_path: Path) -> None:
    for part, seconds in (("first", 10.0), ("second", 30.0)):
        with Report(tmp_path / f"{part}.md").run("a kill") as outcome:
            outcome.recovery_s, outcome.lost, outcome.hit, outcome.cleared = (
                seconds,
                0,
                True,
                part == "second",
            )
    command = [sys.executable, fault_report.__file__, *map(str, sorted(tmp_path.glob("*.jsonl")))]
    (tmp_path / "whole.md").write_text(
        subprocess.run(command, check=True, capture_output=True, text=True).stdout
    )
    assert rows(tmp_path / "whole.md") == {"a kill": ["2", "0", "2", "1", "0", "-", "20.0", "30.0"]}
