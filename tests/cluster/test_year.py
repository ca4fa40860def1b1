"""The chain on the cluster, as `make cluster-demo` runs it: what it makes, where, and who did the work."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from millstream.ml.mlflow_api import MlflowApi
from millstream.settings import CHECKOUT, Settings
from millstream_stack.clients.airflow_api import AirflowApi, Task
from millstream_stack.cluster.hadoop import RESOURCEMANAGER
from millstream_stack.commands.summary import newest_candidates
from millstream_stack.credentials import load_or_create
from millstream_stack.supervision.lifecycle import down
from tests.support.compose import Cluster
from tests.support.dag_runs import at_rest
from tests.support.loopback import STACK_PORTS, free_ports
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(3000)

DEMO_TIMEOUT_S = 2400.0
PAGES_TIMEOUT_S = 120.0
NODES = {"nodemanager-1", "nodemanager-2"}
# Every Delta table of silver and gold, and the places of its files.
PLACES = """
import json
from deltalake import DeltaTable
from millstream.lake.storage import Storage
from millstream.settings import Settings
root = Settings().lake_root
uris = [f"{root}/{zone}/{name}" for zone in ("silver", "gold") for name in Storage(root).list(zone)]
print(json.dumps({uri: DeltaTable(uri).file_uris() for uri in uris if DeltaTable.is_deltatable(uri)}))
"""
ASKED = "import httpx; print(httpx.get('{url}', timeout=30, trust_env=False).text)"
FSCK = (
    "import httpx, json; "
    "text = httpx.get('http://namenode:9870/fsck?path=/&ugi=millstream', timeout=60, trust_env=False).text; "
    "print(json.dumps(text))"
)
# Of what is read from the demo's year; docstrings are those of the libraries that each machine has.
EQUAL = (
    "silver.airlines",
    "silver.airports",
    "silver.planes",
    "silver.weather",
    "silver.flights",
    "gold.arrival_delay_features",
    "gold.route_delay_statistics",
    "gold.delays_by_airport_and_hour",
    "gold.delays_by_carrier_and_weather",
)
MODEL = "arrival_delay"
# Of each table its rows, and a sum of their hashes: their order does not matter, and not all are in memory.
HASHED = f"""
import hashlib, json
from deltalake import DeltaTable
from millstream.lake.tables import TableRef
from millstream.settings import Settings
found = {{}}
for name in {EQUAL}:
    table = DeltaTable(TableRef.parse(name).uri(Settings().lake_root))
    columns = sorted(field.name for field in table.schema().fields if not field.name.startswith("_"))
    total = rows = 0
    for batch in table.to_pyarrow_dataset().to_batches(columns=columns, batch_size=20000, batch_readahead=1):
        for row in batch.select(columns).to_pylist():
            total += int.from_bytes(hashlib.sha256(repr(row).encode()).digest()[:16])
            rows += 1
    found[name] = [rows, hex(total % 2**128)]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def tasks(cluster: Cluster, airflow: AirflowApi) -> list[Task]:
    """The tasks of the chain, which fails unless each table adds up and each model has a champion."""
    # A training on the months of other tests fails, and would count as one of this chain's.
    at_rest(airflow)
    moment = datetime.now(UTC)
    done = cluster.compose("run", "--rm", "-T", "demo", check=False, timeout_s=DEMO_TIMEOUT_S)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    return airflow.tasks_since(moment)


def test_all_tables_are_on_hdfs_and_its_blocks_are_whole(cluster: Cluster, tasks: list[Task]) -> None:
    places = cluster.python("airflow-worker", PLACES)
    tables = {uri.removeprefix("hdfs://namenode:8020/lake/") for uri in places}
    assert {"silver/flights", "silver/docstrings", "gold/route_delay_statistics"} <= tables
    for uri, files in places.items():
        assert files, uri
        assert all(file.startswith("hdfs://namenode:8020/lake/") for file in files), uri
    assert "is HEALTHY" in cluster.python("airflow-worker", FSCK)


def test_both_workers_took_part(cluster: Cluster, tasks: list[Task]) -> None:
    assert {task.host for task in tasks if task.state == "success"} >= set(cluster.ids("airflow-worker"))


def test_map_reduce_ran_on_yarn(cluster: Cluster, tasks: list[Task]) -> None:
    apps = cluster.python("airflow-worker", ASKED.format(url=f"{RESOURCEMANAGER}/ws/v1/cluster/apps"))
    jobs = [app for app in apps["apps"]["app"] if app["applicationType"] == "MAPREDUCE"]
    assert jobs
    assert {(job["state"], job["finalStatus"]) for job in jobs} == {("FINISHED", "SUCCEEDED")}


def test_spark_s_tasks_ran_on_both_nodes_and_its_pages_say_so(cluster: Cluster, tasks: list[Task]) -> None:
    pages = f"http://127.0.0.1:{cluster.ports['MILLSTREAM_SPARK_UI_PORT']}/api/v1/applications"

    def asked(path: str) -> Any:
        return httpx.get(f"{pages}{path}", timeout=60, trust_env=False).raise_for_status().json()

    # Those of servers that were killed in other tests are there too.
    until(lambda: bool(asked("")), PAGES_TIMEOUT_S, "the history server")
    executors = [
        executor for application in asked("") for executor in asked(f"/{application['id']}/allexecutors")
    ]
    work = {executor["hostPort"].split(":")[0]: 0 for executor in executors}
    for executor in executors:
        work[executor["hostPort"].split(":")[0]] += executor["totalTasks"]
    assert work.pop("spark-connect") == 0
    assert work.keys() == NODES
    assert all(work.values())


@dataclass(frozen=True)
class OneMachine:
    """The embedded stack, where its demo has run."""

    settings: Settings
    tables: dict[str, list[Any]]


@pytest.fixture(scope="module")
def embedded(tasks: list[Task]) -> Iterator[OneMachine]:
    """The same chain by `make demo`'s command, with a home of its own; when the cluster is at rest."""
    home = CHECKOUT / ".millstream" / "e2e" / str(os.getpid())
    settings = Settings(root=CHECKOUT, home=home, lake_root=f"file://{home}/lake", **free_ports(*STACK_PORTS))
    ports = {name: str(getattr(settings, name)) for name in STACK_PORTS}
    given = {"home": str(home), "lake_root": settings.lake_root, **ports}
    environment = os.environ | {f"MILLSTREAM_{name.upper()}": value for name, value in given.items()}

    def output(*command: str) -> str:
        done = subprocess.run(
            [sys.executable, *command], env=environment, cwd=CHECKOUT, text=True, check=False,
            stdin=subprocess.DEVNULL, capture_output=True, timeout=DEMO_TIMEOUT_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
        return done.stdout

    try:
        output("-m", "millstream_stack", "demo")
        yield OneMachine(settings, json.loads(output("-c", HASHED)))
    finally:
        down(settings, print)
        shutil.rmtree(home, ignore_errors=True)


def test_tables_are_those_of_one_machine(cluster: Cluster, embedded: OneMachine) -> None:
    assert all(rows for rows, _ in embedded.tables.values())
    assert cluster.python("airflow-worker", HASHED) == embedded.tables


def test_models_are_as_good_as_on_one_machine(cluster: Cluster, embedded: OneMachine) -> None:
    here = load_or_create(embedded.settings)
    there = f"http://127.0.0.1:{cluster.ports['MILLSTREAM_MLFLOW_PORT']}"
    quality = []
    for api in (
        MlflowApi(embedded.settings.mlflow_url, here.mlflow_user, here.mlflow_password),
        MlflowApi(there, "admin", cluster.secret("mlflow_admin_password")),
    ):
        with api:
            champion = api.champion(MODEL)
            assert champion is not None
            runs = newest_candidates(api.runs(MODEL))
            validated = {name: run.metrics["validation_auc_roc"] for name, run in runs.items()}
            quality.append({**validated, "champion": champion.run.metrics["test_auc_roc"]})
    assert quality[1] == pytest.approx(quality[0], abs=0.002)
    assert quality[0]["champion"] > 0.6
