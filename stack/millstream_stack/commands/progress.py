"""Live progress of DAG runs: a table that refreshes on a terminal, one line for each change elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from millstream_stack.clients.airflow_api import Run, Task
from millstream_stack.commands.screen import duration

COLOURS = {
    "success": "green", "failed": "bold red", "upstream_failed": "red", "running": "yellow", "queued": "cyan",
    "up_for_retry": "magenta", "skipped": "bright_black", "waiting": "bright_black",
}  # fmt: skip
# Passing states that would only make a line-by-line report longer.
UNREPORTED = frozenset({"waiting", "scheduled", "queued", "removed"})


class Progress:
    """Shows runs and their tasks. Use as a context manager; call `show` after each look at Airflow."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = datetime.now(UTC)
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._reported: dict[tuple[object, ...], str] = {}

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def show(self, runs: list[Run], tasks: list[Task]) -> None:
        now = datetime.now(UTC)
        if self._live:
            self._live.update(_table(runs, tasks, now, self._began), refresh=True)
        else:
            self._report(runs, tasks, now)

    def _report(self, runs: Iterable[Run], tasks: Iterable[Task], now: datetime) -> None:
        for task in sorted(tasks, key=lambda task: task.started or now):
            self._line(task.key, task.label, task.state, task.started, task.ended, now)
        for run in runs:
            self._line(run.key, f"{run.dag_id} (the whole run)", run.state, run.started, run.ended, now)

    def _line(
        self, key: tuple[object, ...], label: str, state: str,
        started: datetime | None, ended: datetime | None, now: datetime,
    ) -> None:  # fmt: skip
        if state in UNREPORTED or self._reported.get(key) == state:
            return
        self._reported[key] = state
        took = f" after {duration(_elapsed(started, ended, now))}" if ended and started else ""
        elapsed = int((now - self._began).total_seconds())
        self._console.print(f"{elapsed:5d} s  {label}: {state}{took}", markup=False)


def _elapsed(started: datetime | None, ended: datetime | None, now: datetime) -> float:
    return ((ended or now) - started).total_seconds() if started else 0.0


def _table(runs: list[Run], tasks: list[Task], now: datetime, began: datetime) -> Table:
    table = Table(title=f"Running for {duration((now - began).total_seconds())}", title_justify="left")
    for heading in ("DAG", "state", "elapsed", "tasks"):
        table.add_column(heading, justify="right" if heading == "elapsed" else "left")
    for run in runs:
        own = [task for task in tasks if (task.dag_id, task.run_id) == run.key]
        table.add_row(
            run.dag_id,
            Text(run.state, style=COLOURS.get(run.state, "")),
            duration(_elapsed(run.started, run.ended, now)),
            _task_line(own, now),
        )
    return table


def _task_line(tasks: list[Task], now: datetime) -> Text:
    """The run's tasks in the order they started, mapped ones as one entry with a count."""
    groups: dict[str, list[Task]] = {}
    for task in sorted(tasks, key=lambda task: task.started or now):
        if task.state != "removed":
            groups.setdefault(task.task_id, []).append(task)
    line = Text()
    for name, members in groups.items():
        line.append(_group_label(name, members, now), style=COLOURS.get(_group_state(members), ""))
        line.append("  ")
    return line


def _group_state(members: list[Task]) -> str:
    """The state most worth knowing among the instances of one task."""
    states = {task.state for task in members}
    for state in ("failed", "up_for_retry", "running", "queued", "upstream_failed"):
        if state in states:
            return state
    return states.pop() if len(states) == 1 else "running"


def _group_label(name: str, members: list[Task], now: datetime) -> str:
    done = sum(task.state in ("success", "skipped") for task in members)
    count = f" {done}/{len(members)}" if len(members) > 1 else ""
    running = [_elapsed(task.started, None, now) for task in members if task.state == "running"]
    return f"{name}{count}" + (f" {duration(max(running))}" if running else "")
