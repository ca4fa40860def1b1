"""Processes of the stack killed under a running DAG: the run goes on by itself and its month is whole.

Every case ingests a month that the lake does not have as it is now, so there is something to lose.
"""

from __future__ import annotations

import itertools
import random
import sqlite3
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime

import psutil
import pytest
from carried import carry
from deltalake import DeltaTable
from fault_report import Outcome, Report
from machine_clock import MachineClock

from millstream import ledger
from millstream.errors import ClusterError
from millstream.lake.tables import TableRef
from millstream.landing import run_key
from millstream.settings import Settings
from millstream_stack.airflow_api import AirflowApi, Run, Task
from millstream_stack.credentials import Credentials
from millstream_stack.demo import follow
from millstream_stack.lifecycle import supervisor_of, up
from millstream_stack.processes import strays

pytestmark = [pytest.mark.fault, pytest.mark.thorough, pytest.mark.e2e, pytest.mark.timeout(1200)]

FLIGHTS = TableRef.parse("silver.flights")
BEGUN_TIMEOUT_S = 240.0
DATABASE_DOWN_S = 60.0
MONTHS = 12
# What a run of flights needs; the seeds take turns. No name: all services at once.
VICTIMS = {
    "the scheduler, with its tasks,": ("airflow-scheduler",),
    "Airflow's API server": ("airflow-api-server",),
    "the Spark Connect server": ("spark-connect",),
    "every service": (),
}
DELIVERIES = itertools.count()
EVER = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module", autouse=True)
def references(api: AirflowApi) -> None:
    """Flights refer to them; the features wait for all of them, and are not what is asked here."""
    api.pause("build_features")
    carry(api, *(f"ingest_{name}" for name in ("airlines", "airports", "planes")))


@pytest.fixture(scope="module")
def clean_seconds(api: AirflowApi, settings: Settings, references: None) -> float:
    """What a month takes when nothing happens."""
    month, began = delivered(settings), time.monotonic()
    carry(api, "ingest_flights", conf={"start": month, "end": month})
    return time.monotonic() - began


def delivered(settings: Settings) -> str:
    """A month that the lake does not have yet; after a year one whose file is a row shorter now."""
    year, month = divmod(next(DELIVERIES), MONTHS)
    name = f"2013-{month + 1:02}"
    if year:
        path = settings.home / "demo" / "drop" / "flights" / f"flights_{name}.csv.zip"
        with zipfile.ZipFile(path) as archive:
            [member] = archive.namelist()
            lines = archive.read(member).splitlines(keepends=True)
        shorter = path.with_suffix(".shorter")
        with zipfile.ZipFile(shorter, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(member, b"".join(lines[:-1]))
        shorter.replace(path)
    return name


class Wounded:
    """One month on its way, and what became of it."""

    def __init__(self, api: AirflowApi, settings: Settings, report: Report) -> None:
        self.api, self.settings, self.report = api, settings, report
        self.month = delivered(settings)
        self.began = datetime.now(UTC)
        self.run = api.trigger("ingest_flights", {"start": self.month, "end": self.month})

    def until(self, task: str, *states: str) -> None:
        deadline = time.monotonic() + BEGUN_TIMEOUT_S
        while not any(
            one.task_id == task and one.state in states
            for one in self.api.tasks_since(self.began)
            if one.run_id == self.run.run_id
        ):
            assert time.monotonic() < deadline, f"{task} was not {states} in time"
            time.sleep(0.2)

    def judge(self, case: str, hurt: Callable[[], None], overdue: bool = False) -> None:
        """Hurt, follow the run to its end, and count its month by source row id.

        One that is `overdue` by the hurt may fail once.
        """
        moment = time.monotonic()
        hurt()
        run, tasks = self.ended()
        if overdue and run.state == "failed":
            # Its deadline has passed, by the clock; a person clears it.
            self.api.clear(run)
            run, tasks = self.ended()
        seconds = time.monotonic() - moment
        assert run.state == "success", case
        entry, counted = ledger.latest_by_partition(FLIGHTS, self.settings.lake_root)[self.month]
        assert entry.run == run_key(run.run_id)
        table = DeltaTable(FLIGHTS.uri(self.settings.lake_root))
        ids = table.to_pyarrow_table(columns=["_source_row_id"], filters=[("month", "=", self.month)])[
            "_source_row_id"
        ].to_pylist()
        doubled = sum(count - 1 for count in Counter(ids).values())
        lost = counted.read - counted.quarantined - counted.deduplicated - len(set(ids))
        self.report.add(case, Outcome(seconds, lost, doubled, any(task.try_number > 1 for task in tasks)))
        assert counted.read > 20_000
        assert (lost, doubled) == (0, 0)

    def ended(self) -> tuple[Run, list[Task]]:
        while True:
            up(self.settings, print)
            try:
                runs, tasks = follow(self.api, self.began, {self.run.key}, lambda runs, tasks: None)
            except ClusterError as error:
                # The API itself may be what was killed: `up` returns when it answers again.
                print(error)
            else:
                own = [task for task in tasks if (task.dag_id, task.run_id) == self.run.key]
                return next(run for run in runs if run.key == self.run.key), own


@pytest.fixture
def settable(clock: MachineClock | None) -> Iterator[MachineClock]:
    """The stack's clock, which is right again afterwards."""
    if clock is None:
        pytest.skip("a clock that can be set is compiled from C, and there is no compiler")
    yield clock
    clock.set(0)


@pytest.fixture
def wounded(api: AirflowApi, settings: Settings, report: Report) -> Wounded:
    return Wounded(api, settings, report)


@pytest.fixture
def kill(settings: Settings, credentials: Credentials) -> Callable[..., None]:
    """SIGKILL to services and all that they have started; without names, to all of them at once."""

    def now(*names: str) -> None:
        states = supervisor_of(settings, credentials).states()
        victims = [psutil.Process(one.pid) for one in states if one.pid and (not names or one.name in names)]
        assert len(victims) >= max(1, len(names))
        for process in [*victims, *(child for one in victims for child in one.children(recursive=True))]:
            process.kill()

    return now


@pytest.fixture
def workers(settings: Settings, credentials: Credentials) -> Callable[[], list[psutil.Process]]:
    """The executor's processes, which run the tasks."""

    def found() -> list[psutil.Process]:
        ours = strays(settings.home, supervisor_of(settings, credentials).session)
        those = [one for one in ours if "airflow worker -- " in " ".join(one.cmdline())]
        assert those
        return those

    return found


def test_the_process_of_a_task(wounded: Wounded, workers: Callable[[], list[psutil.Process]]) -> None:
    wounded.until("transform", "running")

    def hurt() -> None:
        busy = [one for one in workers() if "<idle>" not in " ".join(one.cmdline())]
        assert busy
        for one in busy:
            one.kill()

    wounded.judge("the process that runs a task", hurt)


def test_the_scheduler(wounded: Wounded, kill: Callable[..., None]) -> None:
    wounded.until("transform", "running")
    wounded.judge("the scheduler, with its tasks", lambda: kill("airflow-scheduler"))


def test_the_spark_server(wounded: Wounded, kill: Callable[..., None]) -> None:
    wounded.until("publish", "running")
    wounded.judge("the Spark Connect server, while a DAG publishes", lambda: kill("spark-connect"))


def test_the_api(wounded: Wounded, kill: Callable[..., None]) -> None:
    wounded.until("load_bronze", "running")
    wounded.judge("Airflow's API server", lambda: kill("airflow-api-server"))


def test_everything_at_once(wounded: Wounded, kill: Callable[..., None]) -> None:
    wounded.until("transform", "running")
    wounded.judge("every service at once", kill)


def test_every_worker_of_the_executor(wounded: Wounded, workers: Callable[[], list[psutil.Process]]) -> None:
    wounded.until("transform", "running")

    def hurt() -> None:
        for one in workers():
            one.kill()

    wounded.judge("every worker of the executor, idle ones too", hurt)


def test_at_any_moment(clean_seconds: float, wounded: Wounded, kill: Callable[..., None], seed: int) -> None:
    victim = list(VICTIMS)[seed % len(VICTIMS)]
    # The fault is a moment in time, not a condition.
    time.sleep(random.Random(seed).uniform(0, clean_seconds))
    wounded.judge(f"{victim} at a random moment", lambda: kill(*VICTIMS[victim]))


def test_the_metadata_database_for_a_minute(wounded: Wounded, settings: Settings) -> None:
    wounded.until("load_bronze", "running")

    def hurt() -> None:
        path = settings.home / "airflow" / "airflow.db"
        with closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as database:
            # Nobody else reads or writes while this transaction lasts.
            database.execute("BEGIN EXCLUSIVE")
            time.sleep(DATABASE_DOWN_S)
            database.execute("ROLLBACK")

    wounded.judge("the metadata database locked for a minute", hurt)


# Last, because they leave times in Airflow's database that are yet to come.
def test_the_clock_is_set_ahead(wounded: Wounded, settable: MachineClock) -> None:
    wounded.until("transform", "running")
    wounded.judge("the clock set ahead by an hour", lambda: settable.set(1), overdue=True)


def test_the_clock_is_set_back(wounded: Wounded, settable: MachineClock, api: AirflowApi) -> None:
    """Airflow leaves a run alone whose moment is yet to come: it waits for the clock, and no other does."""
    wounded.until("transform", "running")

    def hurt() -> None:
        settable.set(-1)
        wounded.until("transform", "up_for_retry", "success")
        other = api.trigger("ingest_airlines", {})
        deadline = time.monotonic() + BEGUN_TIMEOUT_S
        while not any(run.key == other.key and run.state == "success" for run in api.runs_since(EVER)):
            assert time.monotonic() < deadline, "a run that was triggered after did not end"
            time.sleep(1)
        settable.set(0)

    wounded.judge("the clock set back by an hour, and an hour later", hurt)
