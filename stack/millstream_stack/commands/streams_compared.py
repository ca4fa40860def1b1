"""The end of `make demo-streams`: the views of delays and the flights of the day, compared by their DAGs."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from millstream.errors import ClusterError
from millstream.lake import history
from millstream.settings import Settings
from millstream.streams import compared
from millstream.streams.pins import FLIGHTS, pin
from millstream_stack.clients.airflow_api import AirflowApi, Run, wait_for_dags
from millstream_stack.commands.demo import PARSE_TIMEOUT_S, POLL_S, STALL_TIMEOUT_S, explain
from millstream_stack.commands.progress import Progress

INGEST, BUILD, COMPARE = "ingest_flights", "build_airport_delays", "compare_views"
# From the last event in silver to the view that has it.
VIEW_S = 180.0
# What each row of the summary is, by the side's name in a comparison.
SIDES = {
    "lambda": "Lambda: batch view and stream's view, as served",
    "kappa": "Kappa: the stream's view alone",
    "mapreduce": "MapReduce: records as received, by code of its own",
    "silver": "silver.flight_events",
    "events": "events folded into silver.flights",
    "files": "silver.flights, from the monthly file",
}


class Comparing:
    """The runs that a comparison needs. The month's file is ingested beside the stream, and the batch view is
    made in the midst of the day, so that what is served comes from both views."""

    def __init__(self, api: AirflowApi, settings: Settings, day: date) -> None:
        self._api = api
        self._settings = settings
        self._day = day
        self._moment = datetime.now(UTC)
        self._runs: list[Run] = []

    def begin(self) -> None:
        """Have the month's file ingested, unless it has been."""
        dags = {path.stem for path in (self._settings.project / "dags").glob("*.py")}
        known = wait_for_dags(self._api, dags, PARSE_TIMEOUT_S)
        for name in (INGEST, BUILD, COMPARE):
            if known[name]["is_paused"]:
                self._api.unpause(name)
        month = f"{self._day:%Y-%m}"
        published = history.read(FLIGHTS, self._settings.lake_root).latest_by_partition()
        if month not in published:
            self._start(INGEST, {"start": month, "end": month})

    def half(self) -> None:
        """Have the batch view made of what silver has now; done once."""
        if not any(run.dag_id == BUILD for run in self._runs):
            self._start(BUILD, {})

    def end(self, screen: Console, position: int) -> bool:
        """Compare as of `position` or later, and print the outcome; whether every side is the same."""
        screen.print("  waiting for the stream's view to have all events, then comparing")
        self._await_view(position)
        with Progress(screen) as progress:
            if not self._wait(progress, screen):
                return False
            self._start(COMPARE, {"first_day": str(self._day), "last_day": str(self._day)})
            self._wait(progress, screen)
        comparison = compared.read(self._settings.lake_root)
        if comparison is None or comparison.at < self._moment:
            return False
        screen.print(_table(comparison))
        for difference in comparison.differences:
            screen.print(str(difference), markup=False)
        return comparison.different == 0 and bool(comparison.flights) and "lambda" in comparison.groups

    def _await_view(self, position: int) -> None:
        """Bronze and the view follow silver, each at its own pace."""
        began = time.monotonic()
        while time.monotonic() - began < VIEW_S:
            with suppress(ClusterError):
                pins = pin(self._settings.lake_root)
                if pins is not None and pins.offsets.position >= position:
                    return
            time.sleep(POLL_S)
        raise ClusterError(f"the stream's view has not reached position {position}: see make status")

    def _start(self, dag_id: str, conf: dict[str, Any]) -> None:
        self._runs.append(self._api.trigger(dag_id, conf))

    def _wait(self, progress: Progress, screen: Console) -> bool:
        """Until the runs have ended; whether all have succeeded."""
        own, began = {run.key for run in self._runs}, time.monotonic()
        while True:
            runs = [run for run in self._api.runs_since(self._moment) if run.key in own]
            tasks = [one for one in self._api.tasks_since(self._moment) if (one.dag_id, one.run_id) in own]
            progress.show(runs, tasks)
            if len(runs) == len(own) and not any(run.active for run in runs):
                break
            if time.monotonic() - began > STALL_TIMEOUT_S:
                raise ClusterError("the runs of the comparison do not end; see their pages in Airflow")
            time.sleep(POLL_S)
        failed = [run for run in runs if run.state == "failed"]
        for run in failed:
            explain(self._api, run, tasks, screen)
        return not failed


def _table(comparison: compared.Comparison) -> Table:
    table = Table(title=f"Compared as of position {comparison.position:,}", title_justify="left")
    table.add_column("side")
    for heading in ("groups", "events", "flights"):
        table.add_column(heading, justify="right")
    for name, text in SIDES.items():
        counts = (comparison.groups, comparison.events, comparison.flights)
        if any(name in one for one in counts):
            table.add_row(text, *(f"{one[name]:,}" if name in one else "" for one in counts))
    table.add_row("keys that differ", f"{comparison.different:,}")
    return table
