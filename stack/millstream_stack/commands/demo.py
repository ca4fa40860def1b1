"""`make demo`: triggers the ingest DAGs over Airflow's REST API, follows the chain, sums up the outcome."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from millstream.errors import ClusterError
from millstream.lake import history
from millstream.lake.tables import TableRef
from millstream.ml.mlflow_api import MlflowApi
from millstream.settings import Settings
from millstream.transforms import table_of
from millstream_stack.clients.airflow_api import AirflowApi, Run, Task, wait_for_dags
from millstream_stack.commands.progress import Progress
from millstream_stack.commands.screen import addresses_table, console, duration
from millstream_stack.commands.sql_output import printable
from millstream_stack.commands.summary import summarise
from millstream_stack.credentials import load_or_create
from millstream_stack.supervision.lifecycle import up

INGEST_PREFIX = "ingest_"
# The year the reference data covers, in one run.
PARAMETERS: dict[str, dict[str, Any]] = {"ingest_flights": {"start": "2013-01", "end": "2013-12"}}

PARSE_TIMEOUT_S = 180.0
# A step that changes nothing for this long will not change by waiting.
STALL_TIMEOUT_S = 1200.0
POLL_S = 2.0
LOG_LINES = 12


def run_demo(settings: Settings) -> int:
    """Runs the whole chain; returns the exit status, 0 only if all of it succeeded."""
    screen = console()
    began = time.monotonic()
    up(settings, screen.print)
    credentials = load_or_create(settings)
    with (
        AirflowApi(settings.airflow_url, credentials.airflow_user, credentials.airflow_password) as airflow,
        MlflowApi(settings.mlflow_url, credentials.mlflow_user, credentials.mlflow_password) as mlflow,
    ):
        succeeded = run_chain(settings, airflow, mlflow, screen)
    screen.print(addresses_table(settings, credentials))
    verdict = verdict_line(succeeded, time.monotonic() - began)
    screen.print(f"{verdict} The stack stays up: make down stops it.")
    return 0 if succeeded else 1


def verdict_line(succeeded: bool, seconds: float) -> str:
    verdict = "[green]Everything succeeded" if succeeded else "[red]Not everything succeeded (see above)"
    return f"{verdict}[/] in {duration(seconds)}."


def run_chain(settings: Settings, airflow: AirflowApi, mlflow: MlflowApi, screen: Console) -> bool:
    """From the sources to predictions, with live progress and a summary; whether all of it succeeded."""
    expected = {path.stem for path in (settings.project / "dags").glob("*.py")}
    dags = wait_for_dags(airflow, expected, PARSE_TIMEOUT_S)
    moment = datetime.now(UTC)
    ingests = Ingests(airflow, dags, settings.lake_root)
    with Progress(screen) as progress:
        runs, tasks = follow(airflow, moment, ingests.triggered, progress.show, ingests.start_due)
    failed = [run for run in runs if run.state == "failed"]
    for run in failed:
        explain(airflow, run, tasks, screen)
    complete = summarise(settings.lake_root, mlflow, airflow.assets(), screen)
    return complete and not failed


class Ingests:
    """Every ingest DAG, to be triggered, which sets off all the others: at once, but for those whose rows are
    looked up in tables that are not there yet. They come when the ingests of these have ended."""

    def __init__(self, api: AirflowApi, dags: dict[str, dict[str, Any]], lake_root: str) -> None:
        self._api = api
        self._dags = dags
        names = [name for name in sorted(dags) if name.startswith(INGEST_PREFIX)]
        self._waiting = {
            name: unpublished_references(name, lake_root) & set(names) - {name} for name in names
        }
        self.triggered: set[tuple[str, str]] = set()
        self.start_due([])

    def start_due(self, runs: list[Run]) -> bool:
        """Triggers what waits for no other any more, as far as `runs` tell; whether some still wait."""
        ended = {run.key for run in runs if not run.active}
        ahead = {name for name, _ in self.triggered - ended} | self._waiting.keys()
        due = [name for name, awaited in self._waiting.items() if not awaited & ahead]
        if not due and not self.triggered - ended:
            # They refer to each other: none is ahead of the others.
            due = list(self._waiting)
        for name in due:
            del self._waiting[name]
            self.triggered.add(_trigger(self._api, self._dags[name]).key)
        return bool(self._waiting)


def unpublished_references(dag_id: str, lake_root: str) -> set[str]:
    """The ingest DAGs of the tables in which the rows of `dag_id` are looked up, where not yet published."""
    references = table_of(dag_id.removeprefix(INGEST_PREFIX)).references
    tables = {TableRef.parse(table) for _, table, _ in references.values()}
    return {
        f"{INGEST_PREFIX}{table.name}"
        for table in tables
        if history.read(table, lake_root).published_version is None
    }


def _trigger(api: AirflowApi, dag: dict[str, Any]) -> Run:
    name = dag["dag_id"]
    if dag["is_paused"]:
        api.unpause(name)
    return api.trigger(name, PARAMETERS.get(name, {}))


def follow(
    api: AirflowApi,
    moment: datetime,
    triggered: set[tuple[str, str]],
    show: Callable[[list[Run], list[Task]], None],
    start_due: Callable[[list[Run]], bool] = lambda runs: False,
    stall_timeout_s: float = STALL_TIMEOUT_S,
) -> tuple[list[Run], list[Task]]:
    """Follows the runs of `triggered`, and those that their asset events set off, until none is left to run
    and no asset event waits for one.

    `start_due` may add to `triggered` by what it sees; it says whether more is to come.

    Raises:
        ClusterError: nothing has changed for `stall_timeout_s` seconds.
    """
    consumers = {dag["dag_id"] for asset in api.assets() for dag in asset["scheduled_dags"]}
    last_change, last_seen = time.monotonic(), ""
    while True:
        due = api.runs_since(moment)
        own = own_runs(triggered, api.set_off_since(moment))
        runs = [run for run in due if run.key in own]
        tasks = [task for task in api.tasks_since(moment) if (task.dag_id, task.run_id) in own]
        show(runs, tasks)
        waiting = start_due(runs)
        if not waiting and not any(run.active for run in runs) and _settled(api, consumers, own):
            return runs, tasks
        seen = repr((runs, tasks))
        if seen != last_seen:
            last_change, last_seen = time.monotonic(), seen
        elif time.monotonic() - last_change > stall_timeout_s:
            stuck = ", ".join(sorted(run.dag_id for run in runs if run.active)) or "queued asset events"
            raise ClusterError(
                f"nothing has changed for {duration(stall_timeout_s)}; waiting for: {stuck}; see "
                "`make status` and the run's page in Airflow"
            )
        time.sleep(POLL_S)


def own_runs(
    triggered: Collection[tuple[str, str]], set_off: Iterable[tuple[tuple[str, str], tuple[str, str]]]
) -> set[tuple[str, str]]:
    """Those triggered, and all that came of them; `set_off` has pairs of a run and one that it set off."""
    own, pairs = set(triggered), list(set_off)
    while more := {run for cause, run in pairs if cause in own} - own:
        own |= more
    return own


def _settled(api: AirflowApi, consumers: set[str], own: set[tuple[str, str]]) -> bool:
    """Whether nothing runs and nothing is about to; other people's runs may take what time they like.

    Asked in this order nothing slips through: without an active run no new event can come, and an event
    that was taken up before the second question shows as a run in the third.
    """

    def runs() -> bool:
        return any(run.key in own or run.dag_id in consumers for run in api.active_runs())

    waits = (api.asset_events_wait_for(dag_id) for dag_id in sorted(consumers))
    return not runs() and not any(waits) and not runs()


def explain(api: AirflowApi, run: Run, tasks: list[Task], screen: Console) -> None:
    """What a person needs to see of a failed run: the task, its last error lines, the address of its page."""
    culprits = [task for task in tasks if (task.dag_id, task.run_id) == run.key and task.state == "failed"]
    if not culprits:
        screen.print(f"[bold red]{run.dag_id} failed[/] ({api.url}/dags/{run.dag_id}/runs/{run.run_id})")
    for task in culprits:
        screen.print(f"[bold red]{task.label} failed[/] (try {task.try_number})")
        for line in error_lines(api.log(task)):
            # It may quote the data.
            screen.print(f"    {printable(line)}", markup=False)
        screen.print(f"    {api.address(task)}", soft_wrap=True)


def error_lines(log: list[dict[str, Any]]) -> list[str]:
    """The alert in a task's structured log, which begins with what to do; without one its last errors, with
    the exceptions they carry; else its last lines."""
    errors = [entry for entry in log if entry.get("level") in ("error", "critical")]
    alerts = [number for number, entry in enumerate(errors) if str(entry["event"]).startswith("ALERT ")]
    if alerts:
        return [str(entry["event"]) for entry in errors[alerts[-1] :]][:LOG_LINES]
    lines: list[str] = []
    for entry in errors or log:
        lines += str(entry["event"]).splitlines()
        for detail in entry.get("error_detail") or ():
            lines += f"{detail.get('exc_type')}: {detail.get('exc_value')}".splitlines()
    return lines[-LOG_LINES:]
