"""Processes of the stack killed under a running DAG: the run goes on by itself and its month is whole.

Every case ingests a month that the lake does not have as it is now, so there is something to lose.
"""

from __future__ import annotations

import fcntl
import itertools
import random
import sqlite3
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import psutil
import pytest
from deltalake import DeltaTable

from millstream.errors import ClusterError
from millstream.lake import history
from millstream.lake.tables import TableRef
from millstream.landing.manifest import run_key
from millstream.settings import Settings
from millstream_stack.clients.airflow_api import Run, Task
from millstream_stack.commands.demo import follow
from millstream_stack.credentials import Credentials
from millstream_stack.services.airflow_setup import SQLITE_CONNECT_ARGS
from millstream_stack.supervision.lifecycle import supervisor_of
from millstream_stack.supervision.processes import strays
from tests.support.airflow_user import AirflowUser
from tests.support.carried import carry
from tests.support.fault_report import Outcome, Report
from tests.support.machine_clock import MachineClock
from tests.support.small_disk import fill, mounted
from tests.support.waiting import until

pytestmark = [pytest.mark.fault, pytest.mark.thorough, pytest.mark.e2e, pytest.mark.timeout(1200)]

FLIGHTS = TableRef.parse("silver.flights")
BEGUN_TIMEOUT_S = 240.0
NOTICED_TIMEOUT_S = 300.0
HEALED_TIMEOUT_S = 600.0
LOG_BYTES = 8 << 20
# Of each month at its source, January first: 336,776 in the year.
ROWS = (27004, 24951, 28834, 28330, 28796, 28243, 29425, 29327, 27574, 28889, 27268, 28135)
# What a run of flights needs. No name: all services at once.
VICTIMS = {
    "the scheduler, with its tasks,": ("airflow-scheduler",),
    "Airflow's API server": ("airflow-api-server",),
    "the Spark Connect server": ("spark-connect",),
    "every service": (),
}
DELIVERIES = itertools.count()
EVER = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module", autouse=True)
def references(api: AirflowUser) -> None:
    """Flights refer to them; what is made from flights is not what is asked here."""
    for dag_id in ("build_features", "build_route_statistics"):
        api.pause(dag_id)
    carry(api, *(f"ingest_{name}" for name in ("airlines", "airports", "planes")))


@dataclass
class Pace:
    """What a month takes when nothing happens: the newest such run says, because the first ones on a Spark
    server take twice as long as the others."""

    seconds: float

    @contextmanager
    def measured(self) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds = time.monotonic() - began


@pytest.fixture(scope="module")
def pace(api: AirflowUser, settings: Settings, references: None) -> Pace:
    found = Pace(0.0)
    for _ in range(2):
        month = delivered(settings).month
        with found.measured():
            carry(api, "ingest_flights", conf={"start": month, "end": month})
    return found


@dataclass(frozen=True)
class Delivery:
    """A month at its source."""

    month: str
    rows: int


def delivered(settings: Settings) -> Delivery:
    """A month that the lake does not have yet; after a year one whose file is a row shorter now."""
    year, month = divmod(next(DELIVERIES), len(ROWS))
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
    return Delivery(name, ROWS[month] - year)


class Wounded:
    """One month on its way, and what became of it."""

    def __init__(self, api: AirflowUser, settings: Settings, report: Report) -> None:
        self.api, self.settings, self.report = api, settings, report
        self.delivery = delivered(settings)
        self.month = self.delivery.month
        self.began = datetime.now(UTC)
        self.run = self.trigger()

    def trigger(self) -> Run:
        return self.api.trigger("ingest_flights", {"start": self.month, "end": self.month})

    def until(self, task: str, *states: str) -> None:
        def reached() -> bool:
            return any(
                one.task_id == task and one.state in states
                for one in self.api.tasks_since(self.began)
                if one.run_id == self.run.run_id
            )

        until(reached, BEGUN_TIMEOUT_S, f"{task} to be {states}")

    def publishes(self) -> bool:
        """Whether somebody has the turn to publish flights: between its reading and its last commit."""
        lock = Path(self.settings.lake_root.removeprefix("file://")) / ".locks" / f"{FLIGHTS}.lock"
        if not lock.exists():
            return False
        with lock.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def judge(self, case: str, hurt: Callable[[], None], may_fail: bool = False) -> list[Task]:
        """Hurt, follow the run to its end, and count its month by source row id.

        One that `may_fail`, by Airflow's rules, is then cleared once. Returns the tasks that were tried more
        than once.
        """
        with self.report.run(case) as outcome:
            moment = time.monotonic()
            hurt()
            run, tasks = self.ended(self.run)
            outcome.cleared = may_fail and run.state == "failed"
            if outcome.cleared:
                # As a person would.
                self.api.clear(run)
                run, tasks = self.ended(self.run)
            again = [task for task in tasks if task.try_number > 1]
            outcome.hit = bool(again)
            outcome.recovery_s = time.monotonic() - moment if again else None
            assert run.state == "success", [
                (task.label, task.state, self.api.log(task)[-8:]) for task in tasks if task.state == "failed"
            ]
            self.count(outcome)
            return again

    def count(self, outcome: Outcome) -> None:
        """All rows of the source are in the tables, each once, and the account says the same."""
        root = self.settings.lake_root
        published = row_ids(FLIGHTS, root, "month", self.month)
        kept = row_ids(FLIGHTS.quarantine, root, "_partition", self.month)
        entry, counted = history.read(FLIGHTS, root).latest_by_partition()[self.month]
        found = Counter(name.rpartition("#")[2] for name in (*published, *kept))
        source = {str(number) for number in range(1, self.delivery.rows + 1)}
        outcome.lost = len(source - set(found)) - counted.deduplicated
        outcome.doubled = sum(count - 1 for count in found.values())
        assert (outcome.lost, outcome.doubled) == (0, 0)
        assert set(found) <= source
        assert entry.run == run_key(self.run.run_id)
        assert counted.read == counted.accounted == self.delivery.rows
        assert (counted.written, counted.quarantined) == (len(published), len(kept))

    def converges(self) -> None:
        """A run of the same month to which nothing happens finds the same rows, by their hashes, and leaves
        the tables as they are."""
        tables = (FLIGHTS, FLIGHTS.quarantine)
        before = [history.version(table, self.settings.lake_root) for table in tables]
        run, tasks = self.ended(self.trigger())
        assert run.state == "success"
        assert ("publish", "success") in {(task.task_id, task.state) for task in tasks}
        assert [history.version(table, self.settings.lake_root) for table in tables] == before

    def ended(self, triggered: Run) -> tuple[Run, list[Task]]:
        """The run at its end, and its tasks. Nobody helps: what was killed has to come back by itself."""
        deadline = time.monotonic() + HEALED_TIMEOUT_S
        while True:
            try:
                runs, tasks = follow(self.api, self.began, {triggered.key}, lambda runs, tasks: None)
            except ClusterError as error:
                # The API itself may be what was killed.
                if time.monotonic() > deadline:
                    raise
                print(error)
            else:
                own = [task for task in tasks if (task.dag_id, task.run_id) == triggered.key]
                return next(run for run in runs if run.key == triggered.key), own


def row_ids(table: TableRef, lake_root: str, column: str, month: str) -> list[str]:
    """Source row ids of a month of the table; none when there is no table."""
    if history.version(table, lake_root) is None:
        return []
    rows = DeltaTable(table.uri(lake_root)).to_pyarrow_table(
        columns=["_source_row_id"], filters=[(column, "=", month)]
    )
    ids: list[str] = rows["_source_row_id"].to_pylist()
    return ids


@pytest.fixture
def settable(clock: MachineClock | None) -> Iterator[MachineClock]:
    """The stack's clock, which is right again afterwards."""
    if clock is None:
        pytest.skip("a clock that can be set is compiled from C, and there is no compiler")
    yield clock
    clock.set(0)


@pytest.fixture
def wounded(api: AirflowUser, settings: Settings, report: Report) -> Wounded:
    """Begun when the stack is at rest, also after a case that failed."""

    def at_rest() -> bool:
        try:
            return not api.active_runs()
        except ClusterError:
            return False

    until(at_rest, HEALED_TIMEOUT_S, "the stack to be at rest")
    return Wounded(api, settings, report)


@pytest.fixture
def kill(settings: Settings, credentials: Credentials) -> Callable[..., None]:
    """SIGKILL to services and all that they have started; without names, to all of them at once."""

    def now(*names: str) -> None:
        states = supervisor_of(settings, credentials).states()
        victims = [psutil.Process(one.pid) for one in states if one.pid and (not names or one.name in names)]
        assert len(victims) >= max(1, len(names))
        started = [child for one in victims for child in one.children(recursive=True)]
        for service in victims:
            service.kill()
        for process in started:
            # Some end by themselves when what has started them is gone.
            with suppress(psutil.NoSuchProcess):
                process.kill()

    return now


@pytest.fixture
def process_of(settings: Settings, credentials: Credentials) -> Callable[[str], int]:
    """The id of a service's process; 0 while there is none."""
    return lambda name: {one.name: one.pid for one in supervisor_of(settings, credentials).states()}[name]


@pytest.fixture
def workers(settings: Settings, credentials: Credentials) -> Callable[[], list[psutil.Process]]:
    """The executor's processes, which run the tasks."""

    def found() -> list[psutil.Process]:
        ours = strays(settings.home, supervisor_of(settings, credentials).session)
        those = [one for one in ours if "airflow worker -- " in " ".join(one.cmdline())]
        assert those
        return those

    return found


@pytest.fixture
def said(settings: Settings, credentials: Credentials) -> Callable[[str, bytes], bool]:
    """Whether a service has logged some words since this test began."""
    supervisor = supervisor_of(settings, credentials)
    logs = {state.name: supervisor.log_of(state.name) for state in supervisor.states()}
    known = {name: path.stat().st_size for name, path in logs.items() if path.exists()}

    def now(name: str, words: bytes) -> bool:
        with logs[name].open("rb") as log:
            log.seek(known.get(name, 0))
            return words in log.read()

    return now


def test_the_process_of_a_task(wounded: Wounded, workers: Callable[[], list[psutil.Process]]) -> None:
    wounded.until("transform", "running")

    def hurt() -> None:
        busy = [one for one in workers() if "<idle>" not in " ".join(one.cmdline())]
        assert busy
        for one in busy:
            one.kill()

    assert wounded.judge("the process that runs a task", hurt)
    wounded.converges()


def test_the_scheduler(wounded: Wounded, kill: Callable[..., None]) -> None:
    wounded.until("transform", "running")
    assert wounded.judge("the scheduler, with its tasks", lambda: kill("airflow-scheduler"))
    wounded.converges()


def test_the_spark_server(wounded: Wounded, kill: Callable[..., None]) -> None:
    wounded.until("publish", "running")

    def hurt() -> None:
        until(wounded.publishes, BEGUN_TIMEOUT_S, "the publish to have its turn")
        kill("spark-connect")

    (again,) = wounded.judge("the Spark Connect server, in the midst of a publish", hurt)
    assert (again.task_id, again.state) == ("publish", "success")
    log = wounded.api.log(replace(again, try_number=1))
    assert any(entry.get("level") in ("error", "critical") for entry in log), log
    wounded.converges()


def test_the_api(wounded: Wounded, kill: Callable[..., None]) -> None:
    wounded.until("load_bronze", "running")
    wounded.judge("Airflow's API server, which tasks wait for", lambda: kill("airflow-api-server"))
    wounded.converges()


def test_everything_at_once(wounded: Wounded, kill: Callable[..., None]) -> None:
    wounded.until("transform", "running")
    assert wounded.judge("every service at once", kill)
    wounded.converges()


def test_every_worker_of_the_executor(wounded: Wounded, workers: Callable[[], list[psutil.Process]]) -> None:
    wounded.until("transform", "running")

    def hurt() -> None:
        for one in workers():
            one.kill()

    assert wounded.judge("every worker of the executor, idle ones too", hurt)
    wounded.converges()


@pytest.mark.parametrize("victim", VICTIMS)
def test_at_any_moment(
    pace: Pace, wounded: Wounded, kill: Callable[..., None], victim: str, seed: int
) -> None:
    # The fault is a moment in time, not a condition.
    time.sleep(random.Random(seed).uniform(0, pace.seconds))
    wounded.judge(f"{victim} at a random moment", lambda: kill(*VICTIMS[victim]))
    with pace.measured():
        wounded.converges()


def test_the_metadata_database_until_the_scheduler_ends(
    wounded: Wounded, settings: Settings, said: Callable[[str, bytes], bool]
) -> None:
    """No service can write, until the scheduler has tried three times for a minute and ends."""
    wounded.until("load_bronze", "running")
    # What a service says when it has waited for its turn in vain.
    signs = {"airflow-scheduler": b"database is locked", "airflow-api-server": b"status_code=500"}

    def hurt() -> None:
        path = settings.home / "airflow" / "airflow.db"
        with closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as database:
            database.execute("BEGIN EXCLUSIVE")
            down = time.monotonic()
            for name, sign in signs.items():
                until(partial(said, name, sign), NOTICED_TIMEOUT_S, f"{name} to fail")
            assert time.monotonic() - down > SQLITE_CONNECT_ARGS["timeout"]
            database.execute("ROLLBACK")

    # A task that reports at the very end of it may be marked as failed for good (docs/reliability.md).
    wounded.judge("the metadata database locked until the scheduler ends", hurt, may_fail=True)
    wounded.converges()


def test_a_full_disk_under_the_metadata_database(
    wounded: Wounded, airflow_disk: Path | None, process_of: Callable[[str], int]
) -> None:
    """Until the scheduler has ended over it and been started again, and somebody makes room."""
    if airflow_disk is None:
        pytest.skip("no file system can be mounted")
    wounded.until("load_bronze", "running")

    def hurt() -> None:
        before = process_of("airflow-scheduler")
        ballast = fill(airflow_disk, leave=0)
        try:
            until(
                lambda: process_of("airflow-scheduler") not in (before, 0),
                NOTICED_TIMEOUT_S,
                "the scheduler to end and be started again",
            )
        finally:
            ballast.unlink()

    # That takes minutes, and the tries of a task do not.
    wounded.judge("a full disk under the metadata database until the scheduler ends", hurt, may_fail=True)
    wounded.converges()


def test_a_full_disk_under_the_logs_of_tasks(wounded: Wounded, settings: Settings) -> None:
    """A try cannot log anything, from its beginning to its end."""
    wounded.until("load_bronze", "running")
    with mounted(settings.home / "logs" / "airflow", LOG_BYTES) as disk:

        def hurt() -> None:
            ballast = fill(disk, leave=0)
            try:
                wounded.until("transform", "up_for_retry", "failed", "success")
            finally:
                ballast.unlink()

        wounded.judge("a full disk under the logs of tasks", hurt)
    wounded.converges()


# Last, because they leave times in Airflow's database that are yet to come.
def test_the_clock_is_set_ahead(wounded: Wounded, settable: MachineClock) -> None:
    wounded.until("transform", "running")
    # Its deadline has passed, by the clock.
    wounded.judge("the clock set ahead by an hour", lambda: settable.set(1), may_fail=True)


def test_the_clock_is_set_back(wounded: Wounded, settable: MachineClock, api: AirflowUser) -> None:
    """Airflow leaves a run alone whose moment is yet to come: it waits for the clock, and no other does."""
    wounded.until("transform", "running")

    def hurt() -> None:
        settable.set(-1)
        wounded.until("transform", "up_for_retry", "success")
        other = api.trigger("ingest_airlines", {})

        def succeeded() -> bool:
            return any(run.key == other.key and run.state == "success" for run in api.runs_since(EVER))

        until(succeeded, BEGUN_TIMEOUT_S, "a run that was triggered after to succeed")
        settable.set(0)

    wounded.judge("the clock set back by an hour, and an hour later", hurt)
