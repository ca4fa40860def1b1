"""The cluster of docker-compose.yml, really started: health, datasets through Celery, secrets."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from millstream_stack.clients.airflow_api import AirflowApi
from millstream_stack.cluster import spark
from millstream_stack.cluster.hadoop import RESOURCEMANAGER
from millstream_stack.cluster.secret_files import NAMES
from tests.support.compose import USER, Cluster
from tests.support.dag_runs import RUN_TIMEOUT_S, begin, followed, run, tasks_of
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(1800)

BACK_TIMEOUT_S = 180.0
LAKE = "hdfs://namenode:8020/lake"
# Rows of the months that this file ingests, in the demo's source.
FLIGHTS = {"2013-01": 27_004, "2013-02": 24_951}
ASKED = "import httpx; print(httpx.get('{url}', timeout=30, trust_env=False).text)"
# The environment of every process in a worker's container: what a task could read there.
WORKERS_ENVIRONMENTS = """
import glob, json
texts = []
for path in glob.glob("/proc/[0-9]*/environ"):
    try:
        texts.append(open(path, "rb").read().decode(errors="replace"))
    except OSError:
        pass
print(json.dumps(texts))
"""
MOUNTED_SECRETS = "import json, os; print(json.dumps(sorted(os.listdir('/run/secrets'))))"
# Rows of a table of the lake, and where it lies.
ROWS = """
import json
from deltalake import DeltaTable
from millstream.lake.tables import TableRef
from millstream.settings import Settings
table = DeltaTable(TableRef.parse("{table}").uri(Settings().lake_root))
print(json.dumps([table.table_uri, table.count()]))
"""


QUARANTINED = """
import json
from deltalake import DeltaTable
from millstream.lake.tables import TableRef
from millstream.settings import Settings
place = TableRef.parse("{table}").quarantine.uri(Settings().lake_root)
print(DeltaTable(place).count() if DeltaTable.is_deltatable(place) else 0)
"""


def test_every_service_is_healthy_and_the_set_up_is_over(cluster: Cluster) -> None:
    states = {one["Service"]: (one["State"], one["Health"], one["ExitCode"]) for one in cluster.containers()}
    for job in ("airflow-setup", "lake-setup"):
        assert states.pop(job) == ("exited", "", 0)
    assert set(states.values()) == {("running", "healthy", 0)}, states


def test_datasets_come_through_celery_into_the_lake(cluster: Cluster, airflow: AirflowApi) -> None:
    run(airflow, "ingest_airports", {})
    tasks = run(airflow, "ingest_flights", {"start": "2013-01", "end": "2013-01"})
    assert {task.host for task in tasks if task.state == "success"} <= set(cluster.ids("airflow-worker"))
    for table, rows in (("silver.airports", 1458), ("silver.flights", FLIGHTS["2013-01"])):
        place, count = cluster.python("airflow-worker", ROWS.format(table=table))
        quarantined = cluster.python("airflow-worker", QUARANTINED.format(table=table))
        assert place.startswith(f"{LAKE}/silver/")
        assert count + quarantined == rows
    # What a task logged on a worker is read by the API server.
    assert airflow.log(next(task for task in tasks if task.state == "success"))


def test_a_worker_holds_the_secret_of_the_broker_and_no_other(cluster: Cluster) -> None:
    for container in cluster.ids("airflow-worker"):
        environments = cluster.python_in(container, WORKERS_ENVIRONMENTS)
        text = "\n".join(environments)
        assert cluster.secret("broker_password") in text
        held = [name for name in NAMES if name != "broker_password" and cluster.secret(name) in text]
        assert held == []
        assert "AIRFLOW_CONN_" not in text
        assert "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" not in text
        assert cluster.python_in(container, MOUNTED_SECRETS) == ["broker_password"]


def test_no_secret_stands_in_a_container_s_configuration(cluster: Cluster) -> None:
    described = json.dumps([cluster.inspect(one["ID"]) for one in cluster.containers()])
    assert [name for name in NAMES if cluster.secret(name) in described] == []


def test_containers_have_no_privileges_and_ports_are_this_machine_s(cluster: Cluster) -> None:
    for one in cluster.containers():
        described = cluster.inspect(one["ID"])
        host = described["HostConfig"]
        assert host["CapDrop"] == ["ALL"], one["Service"]
        assert host["SecurityOpt"] == ["no-new-privileges:true"], one["Service"]
        assert host["ReadonlyRootfs"] is True, one["Service"]
        assert host["Memory"] > 0, one["Service"]
        assert described["Config"]["User"].partition(":")[0] == str(USER), one["Service"]
        addresses = {port["HostIp"] for ports in (host["PortBindings"] or {}).values() for port in ports}
        assert addresses <= {"127.0.0.1"}, one["Service"]


def test_only_workers_reach_spark_connect(cluster: Cluster) -> None:
    listening = "import json, socket; print(json.dumps(socket.gethostbyname('connect')))"
    address = cluster.python("airflow-worker", listening)
    question = f"import socket; socket.create_connection(('{address}', {spark.PORT}), 3); print('true')"
    assert cluster.python("airflow-worker", question) is True
    for service in ("airflow-scheduler", "mlflow", "datanode-1", "nodemanager-1"):
        with pytest.raises(AssertionError, match=r"TimeoutError|unreachable"):
            cluster.python(service, question)
    # Hadoop's nodes share another network with the server; it does not listen there.
    elsewhere = question.replace(address, "spark-connect")
    with pytest.raises(AssertionError, match="ConnectionRefusedError"):
        cluster.python("nodemanager-1", elsewhere)


def test_a_killed_worker_comes_back_and_works(cluster: Cluster, airflow: AirflowApi) -> None:
    container = cluster.ids("airflow-worker")[0]
    before = cluster.inspect(container)["State"]["Pid"]
    os.kill(before, signal.SIGKILL)

    def back() -> bool:
        state = cluster.inspect(container)["State"]
        return state["Pid"] not in (0, before) and state["Health"]["Status"] == "healthy"

    until(back, BACK_TIMEOUT_S, "the worker")
    run(airflow, "ingest_airlines", {})


def test_a_month_outlives_the_loss_of_a_node(cluster: Cluster, airflow: AirflowApi) -> None:
    """Killed with all that runs on it: executors, and on one of the nodes the application's master."""

    def nodes() -> list[dict[str, Any]]:
        answer = cluster.python("airflow-worker", ASKED.format(url=f"{RESOURCEMANAGER}/ws/v1/cluster/nodes"))
        listed: list[dict[str, Any]] = answer["nodes"]["node"]
        return listed

    begun = begin(airflow, "ingest_flights", {"start": "2013-02", "end": "2013-02"})

    def transforming() -> bool:
        return any(
            (task.task_id, task.state) == ("transform", "running") for task in tasks_of(airflow, begun)
        )

    until(transforming, RUN_TIMEOUT_S, "the transform")
    busiest = max(nodes(), key=lambda node: node["numContainers"])
    assert busiest["numContainers"] > 0
    lost = busiest["nodeHostName"]
    os.kill(cluster.inspect(cluster.ids(lost)[0])["State"]["Pid"], signal.SIGKILL)

    followed(airflow, begun)
    _, count = cluster.python("airflow-worker", ROWS.format(table="silver.flights"))
    quarantined = cluster.python("airflow-worker", QUARANTINED.format(table="silver.flights"))
    assert count + quarantined == sum(FLIGHTS.values())

    def back() -> bool:
        return any(node["nodeHostName"] == lost and node["state"] == "RUNNING" for node in nodes())

    until(back, BACK_TIMEOUT_S, lost)


@pytest.mark.parametrize("wrong", [None, "change-me"], ids=["missing", "placeholder"])
def test_a_service_without_its_secret_does_not_start_and_names_it(
    cluster: Cluster, tmp_path: Path, wrong: str | None
) -> None:
    other = Cluster("millstream-wrong", tmp_path / "secrets", cluster.ports)
    other.write_secrets()
    secret = other.secrets / "mlflow_flask_secret"
    secret.unlink()
    if wrong is not None:
        secret.write_text(wrong)
        os.chown(secret, USER, -1)
    done = other.compose("run", "--rm", "--no-deps", "-T", "mlflow", check=False)
    other.down()
    assert done.returncode != 0
    assert "mlflow_flask_secret" in done.stdout + done.stderr
