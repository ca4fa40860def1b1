"""The chain on the cluster, as `make cluster-demo` runs it: what it makes, where, and who did the work."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from deltalake import DeltaTable

from millstream.lake.tables import TableRef
from millstream_stack.clients.airflow_api import AirflowApi, Task
from millstream_stack.cluster.hadoop import RESOURCEMANAGER
from tests.support.chain import contract_of, suite_of
from tests.support.compose import Cluster
from tests.support.dag_runs import at_rest
from tests.support.real_months import MONTHS, months
from tests.support.submitted_chain import SubmittedChain
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
HASHED = """
import hashlib, json
from deltalake import DeltaTable
from millstream.lake.tables import TableRef
from millstream.settings import Settings
uri = TableRef(zone="silver", name="flights").uri(Settings().lake_root)
columns = [field.name for field in DeltaTable(uri).schema().fields if not field.name.startswith("_")]
table = DeltaTable(uri).to_pyarrow_table(columns=columns, filters=[("month", "in", {months})])
rows = sorted(map(repr, table.select(sorted(columns)).to_pylist()))
print(json.dumps(hashlib.sha256("\\n".join(rows).encode()).hexdigest()))
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


@pytest.fixture
def embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The hash of the same months, ingested on one machine."""
    root = f"file://{tmp_path}/lake"
    monkeypatch.setenv("MILLSTREAM_LAKE_ROOT", root)
    local = {"conn_type": "spark", "host": "local[2]", "extra": {"deploy-mode": "client"}}
    monkeypatch.setenv("AIRFLOW_CONN_LOCAL", json.dumps(local))
    folder = tmp_path / "chain"
    folder.mkdir()
    chain = SubmittedChain(folder, contract_of("flights"), suite_of("flights"), root, "local")
    for month, content in months().items():
        chain.put(f"flights/flights_{month}.csv.zip", content)
    chain.land("r1", MONTHS)
    staged = chain.stage("r1")
    chain.judge("r1", staged, MONTHS)
    chain.publish("r1", staged, MONTHS)
    table = DeltaTable(TableRef(zone="silver", name="flights").uri(root)).to_pyarrow_table()
    columns = sorted(name for name in table.column_names if not name.startswith("_"))
    rows = sorted(map(repr, table.select(columns).to_pylist()))
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def test_rows_are_those_of_one_machine(cluster: Cluster, tasks: list[Task], embedded: str) -> None:
    assert cluster.python("airflow-worker", HASHED.format(months=MONTHS)) == embedded
