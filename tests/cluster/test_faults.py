"""Containers that are killed, stopped or stalled under a running DAG: it ends well, and its month is whole.

`make test-cluster-faults` runs these.
"""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from millstream.errors import ClusterError
from millstream.landing.manifest import run_key
from millstream_stack.clients.airflow_api import Run, Task
from tests.support.airflow_user import AirflowUser
from tests.support.compose import Cluster
from tests.support.fault_report import Outcome, Report
from tests.support.waiting import until

pytestmark = [pytest.mark.fault, pytest.mark.thorough, pytest.mark.timeout(2400)]

BEGUN_TIMEOUT_S = 300.0
HEALED_TIMEOUT_S = 1200.0
WELL_TIMEOUT_S = 420.0
# How long the database is away, HDFS takes no writes, or a node does not move.
OUTAGE_S = 60.0
# What a run of flights does, in this order: a seed chooses during which of them the fault comes.
MOMENTS = ("extract", "transform", "quality_gate", "publish", "load_bronze")
# Of each month at its source, January first: 336,776 in the year.
ROWS = (27004, 24951, 28834, 28330, 28796, 28243, 29425, 29327, 27574, 28889, 27268, 28135)
# A month whose file has become a row shorter since the lake last had it.
SHORTER = """
import pathlib, zipfile
path = pathlib.Path("/var/lib/millstream/demo/drop/flights/flights_{month}.csv.zip")
with zipfile.ZipFile(path) as archive:
    [member] = archive.namelist()
    lines = archive.read(member).splitlines(keepends=True)
fresh = path.with_suffix(".shorter")
with zipfile.ZipFile(fresh, "w", zipfile.ZIP_DEFLATED) as archive:
    archive.writestr(member, b"".join(lines[:-1]))
fresh.replace(path)
print(len(lines) - 2)
"""
# Versions of the month's tables, its source row ids in either, and its account.
MONTH = """
import json
from deltalake import DeltaTable
from millstream.lake import history
from millstream.lake.tables import TableRef
from millstream.settings import Settings
root, flights = Settings().lake_root, TableRef.parse("silver.flights")
def ids(table, column):
    if history.version(table, root) is None:
        return []
    rows = DeltaTable(table.uri(root)).to_pyarrow_table(
        columns=["_source_row_id"], filters=[(column, "=", "{month}")]
    )
    return rows["_source_row_id"].to_pylist()
entry, counted = history.read(flights, root).latest_by_partition()["{month}"]
account = {{name: getattr(counted, name) for name in
    ("read", "accounted", "written", "quarantined", "deduplicated")}}
print(json.dumps({{
    "versions": [history.version(table, root) for table in (flights, flights.quarantine)],
    "published": ids(flights, "month"), "kept": ids(flights.quarantine, "_partition"),
    "run": entry.run, "account": account,
}}))
"""
SAFE_MODE = (
    "import subprocess; "
    "done = subprocess.run(['java', '-Xmx128m', '-cp', '/opt/millstream/conf/hadoop:"
    "/opt/millstream/.millstream/hadoop/*', 'org.apache.hadoop.hdfs.tools.DFSAdmin', "
    "'-safemode', '{what}'], capture_output=True, text=True); "
    "assert done.returncode == 0, done.stdout + done.stderr; print('true')"
)


@pytest.fixture(scope="module")
def user(cluster: Cluster, airflow: object) -> Iterator[AirflowUser]:
    """What is made from flights is not what is asked here."""
    url = f"http://127.0.0.1:{cluster.ports['MILLSTREAM_AIRFLOW_PORT']}"
    with AirflowUser(url, "admin", cluster.secret("airflow_admin_password")) as api:
        for dag_id, dag in api.dags().items():
            if not dag["is_paused"] and not dag_id.startswith("ingest_"):
                api.pause(dag_id)
        yield api


@dataclass
class Months:
    """Months that the lake does not have as they are at their source, one after the other."""

    cluster: Cluster
    numbers: Iterator[int]
    delivered: dict[str, int]

    def take(self) -> tuple[str, int]:
        """A month and its rows."""
        number = next(self.numbers) % len(ROWS)
        month = f"2013-{number + 1:02}"
        if month in self.delivered:
            self.delivered[month] = self.cluster.python("demo-sources", SHORTER.format(month=month))
        else:
            self.delivered[month] = ROWS[number]
        return month, self.delivered[month]


@pytest.fixture(scope="module")
def months(cluster: Cluster) -> Months:
    # Tests before these have the first ones.
    return Months(cluster, itertools.count(2), {})


@pytest.fixture
def well(cluster: Cluster, user: AirflowUser) -> None:
    """All services are, and nothing runs."""

    def rested() -> bool:
        try:
            active = bool(user.active_runs())
        except ClusterError:
            return False
        states = {one["Service"]: (one["State"], one["Health"]) for one in cluster.containers()}
        unwell = [name for name, state in states.items() if state not in WELL]
        return not active and not unwell

    until(rested, WELL_TIMEOUT_S, "the cluster to be well and at rest")


WELL = (("running", "healthy"), ("running", ""), ("exited", ""))


@dataclass
class Fault:
    """What is done to the cluster."""

    cluster: Cluster

    def kill(self, *services: str) -> None:
        """SIGKILL to the first processes of the services' containers, and with them to all in them."""
        described = [
            self.cluster.inspect(one["ID"])
            for one in self.cluster.containers()
            if one["State"] == "running" and (not services or one["Service"] in services)
        ]
        assert described
        for one in described:
            os.kill(one["State"]["Pid"], signal.SIGKILL)

    def outage(self, begin: Callable[[], object], end: Callable[[], object]) -> None:
        """The fault is its length, not a condition: nothing is waited for here."""
        begin()
        try:
            time.sleep(OUTAGE_S)
        finally:
            end()

    def database_down(self) -> None:
        compose = self.cluster.compose
        self.outage(
            lambda: compose("stop", "--timeout", "0", "postgres"), lambda: compose("start", "postgres")
        )

    def node_stalls(self) -> None:
        compose = self.cluster.compose
        self.outage(lambda: compose("pause", "datanode-1"), lambda: compose("unpause", "datanode-1"))

    def safe_mode(self) -> None:
        def asked(what: str) -> object:
            return self.cluster.python("namenode", SAFE_MODE.format(what=what))

        self.outage(lambda: asked("enter"), lambda: asked("leave"))


FAULTS: dict[str, Callable[[Fault], None]] = {
    "both workers killed": lambda fault: fault.kill("airflow-worker"),
    "the scheduler killed": lambda fault: fault.kill("airflow-scheduler"),
    "the database down for 60 s": Fault.database_down,
    "the broker of tasks killed": lambda fault: fault.kill("valkey"),
    "a DataNode killed": lambda fault: fault.kill("datanode-1"),
    "a DataNode stalls for 60 s": Fault.node_stalls,
    "the NameNode killed": lambda fault: fault.kill("namenode"),
    "HDFS in safe mode for 60 s": Fault.safe_mode,
    "the ResourceManager killed": lambda fault: fault.kill("resourcemanager"),
    "a NodeManager killed, with its containers": lambda fault: fault.kill("nodemanager-1"),
    "Spark Connect killed": lambda fault: fault.kill("spark-connect"),
    "every container killed at once": lambda fault: fault.kill(),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_month_outlives_it(
    cluster: Cluster, user: AirflowUser, months: Months, well: None, report: Report, case: str, seed: int
) -> None:
    month, rows = months.take()
    # Cases that run once each do not all come at the same moment.
    moment = MOMENTS[(seed + list(FAULTS).index(case)) % len(MOMENTS)]
    began = datetime.now(UTC)
    user.unpause("ingest_flights")
    run = user.trigger("ingest_flights", {"start": month, "end": month})
    reached(user, run, began, moment)
    with report.run(f"{case} (cluster)") as outcome:
        hurt = time.monotonic()
        FAULTS[case](Fault(cluster))
        ended, tasks = at_its_end(user, run, began)
        outcome.cleared = ended.state == "failed"
        if outcome.cleared:
            # The tries of a task may be over before a cluster is back: then a person clears what failed.
            print(f"{case} at {moment}: cleared by hand: {failures(user, tasks)}")
            user.clear_failed(run)
            ended, tasks = at_its_end(user, run, began)
        outcome.hit = any(task.try_number > 1 for task in tasks)
        outcome.recovery_s = time.monotonic() - hurt if outcome.hit else None
        assert ended.state == "success", failures(user, tasks)
        counted(cluster, month, rows, run, outcome)
    converges(cluster, user, month)


def reached(user: AirflowUser, run: Run, began: datetime, task_id: str) -> None:
    """Returns when the task runs, or has ended before anybody looked."""

    def begun() -> bool:
        return any(
            task.task_id == task_id and task.state in ("running", "success")
            for task in user.tasks_since(began)
            if task.run_id == run.run_id
        )

    until(begun, BEGUN_TIMEOUT_S, f"{task_id} to run")


def at_its_end(user: AirflowUser, run: Run, began: datetime) -> tuple[Run, list[Task]]:
    """The run and its tasks when it has ended. Airflow itself may be away meanwhile."""
    seen: list[Run] = []

    def ended() -> bool:
        try:
            seen[:] = [one for one in user.runs_since(began) if one.key == run.key and not one.active]
        except ClusterError:
            return False
        return bool(seen)

    until(ended, HEALED_TIMEOUT_S, f"the end of {run.run_id}")
    return seen[0], [task for task in user.tasks_since(began) if task.run_id == run.run_id]


def failures(user: AirflowUser, tasks: list[Task]) -> list[tuple[str, list[Any]]]:
    return [(task.label, user.log(task)[-8:]) for task in tasks if task.state == "failed"]


def counted(cluster: Cluster, month: str, rows: int, run: Run, outcome: Outcome) -> None:
    """All rows of the source are in the tables, each once, and the account says the same."""
    # The worker may be coming back yet.
    until(lambda: bool(cluster.ids("airflow-worker")), WELL_TIMEOUT_S, "a worker")
    found = cluster.python("airflow-worker", MONTH.format(month=month))
    times = Counter(name.rpartition("#")[2] for name in (*found["published"], *found["kept"]))
    source = {str(number) for number in range(1, rows + 1)}
    account = found["account"]
    outcome.lost = len(source - set(times)) - account["deduplicated"]
    outcome.doubled = sum(count - 1 for count in times.values())
    assert (outcome.lost, outcome.doubled) == (0, 0)
    assert set(times) <= source
    assert found["run"] == run_key(run.run_id)
    assert account["read"] == account["accounted"] == rows
    assert (account["written"], account["quarantined"]) == (len(found["published"]), len(found["kept"]))


def converges(cluster: Cluster, user: AirflowUser, month: str) -> None:
    """An undisturbed run of the same month finds the same rows and leaves the tables as they are."""
    before = cluster.python("airflow-worker", MONTH.format(month=month))
    began = datetime.now(UTC)
    again = user.trigger("ingest_flights", {"start": month, "end": month})
    ended, tasks = at_its_end(user, again, began)
    assert ended.state == "success", failures(user, tasks)
    after = cluster.python("airflow-worker", MONTH.format(month=month))
    assert after["versions"] == before["versions"]
