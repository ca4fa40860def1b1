"""What people see of the cluster, by their role: pages of the lake on HDFS, and Spark's pages of a task."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from millstream_stack.clients.airflow_api import AirflowApi
from millstream_stack.cluster.lake_setup import READER
from tests.support.compose import Cluster
from tests.support.dag_runs import run
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(1800)

DAG = "ingest_airlines"
HISTORY_TIMEOUT_S = 120.0
READ_AND_WRITE = """
import json
from millstream.errors import MillstreamError
from millstream.lake.storage import Storage
from millstream.settings import Settings
storage, said = Storage(Settings().lake_root), ["", ""]
said[0] = storage.list("")
try:
    storage.write("mine", b"1")
except MillstreamError as error:
    said[1] = str(error)
print(json.dumps(said))
"""
COUNTED = """
from millstream_stack.dashboards import query
print(query("SELECT count(*) AS rows FROM silver.airlines")["rows"].item())
"""
Clients = dict[str, httpx.Client]


@pytest.fixture(scope="module")
def users(cluster: Cluster) -> Iterator[Clients]:
    """People by their role; a viewer and an operator whom the administrator has added."""
    url = f"http://127.0.0.1:{cluster.ports['MILLSTREAM_AIRFLOW_PORT']}"
    with ExitStack() as stack:
        clients: Clients = {}

        def log_in(role: str, user: str, password: str) -> None:
            client = stack.enter_context(httpx.Client(base_url=url, timeout=60, trust_env=False))
            answer = client.post("/auth/token", json={"username": user, "password": password})
            client.headers["Authorization"] = f"Bearer {answer.raise_for_status().json()['access_token']}"
            clients[role] = client

        log_in("Admin", "admin", cluster.secret("airflow_admin_password"))
        for role in ("Viewer", "Op"):
            user, password = f"{role.lower()}-{secrets.token_hex(4)}", secrets.token_urlsafe(24)
            person = {
                **{"username": user, "password": password, "email": f"{user}@localhost"},
                **{"first_name": role, "last_name": role, "roles": [{"name": role}]},
            }
            clients["Admin"].post("/auth/fab/v1/users", json=person).raise_for_status()
            log_in(role, user, password)
        yield clients


def statuses(users: Clients, method: str, path: str, **body: object) -> tuple[int, ...]:
    """What a viewer, an operator and an administrator are answered, in this order."""
    return tuple(
        users[role].request(method, path, json=body or None).status_code for role in ("Viewer", "Op", "Admin")
    )


def test_a_viewer_looks_an_operator_runs_an_admin_manages(users: Clients, airflow: AirflowApi) -> None:
    assert statuses(users, "GET", "/api/v2/dags") == (200, 200, 200)
    assert statuses(users, "GET", "/millstream/streams/") == (200, 200, 200)
    assert statuses(users, "PATCH", f"/api/v2/dags/{DAG}", is_paused=False) == (403, 200, 200)
    assert statuses(users, "GET", "/api/v2/connections") == (403, 200, 200)
    assert statuses(users, "GET", "/auth/fab/v1/users") == (403, 403, 200)


def test_data_docs_and_streams_are_read_from_hdfs_by_a_user_who_may_only_read(
    cluster: Cluster, airflow: AirflowApi, users: Clients
) -> None:
    run(airflow, DAG, {})
    index = users["Viewer"].get("/millstream/data-docs/").raise_for_status().text
    assert 'href="silver.airlines/' in index
    page = index.partition('href="silver.airlines/')[2].partition('"')[0]
    shown = users["Viewer"].get(f"/millstream/data-docs/silver.airlines/{page}")
    assert "Result of each rule" in shown.raise_for_status().text
    streams = users["Viewer"].get("/millstream/streams/").raise_for_status().text
    assert "No stream has begun" in streams or "flight_events" in streams
    folders, refusal = cluster.python("airflow-api-server", READ_AND_WRITE, {"HADOOP_USER_NAME": READER})
    assert {"data_docs", "silver"} <= set(folders)
    assert f"Permission denied: user={READER}" in refusal


def test_a_task_leads_to_its_application_in_spark_s_history(
    cluster: Cluster, airflow: AirflowApi, users: Clients
) -> None:
    tasks = run(airflow, DAG, {})
    [task] = [task for task in tasks if task.task_id == "transform"]
    path = f"/api/v2/dags/{task.dag_id}/dagRuns/{task.run_id}/taskInstances/{task.task_id}/links"
    links = users["Viewer"].get(path).raise_for_status().json()["extra_links"]
    port = cluster.ports["MILLSTREAM_SPARK_UI_PORT"]
    assert links["Spark"].startswith(f"http://127.0.0.1:{port}/history/application_")

    def shown() -> bool:
        answer = httpx.get(links["Spark"], timeout=60, trust_env=False, follow_redirects=True)
        return answer.is_success and "Spark Jobs" in answer.text

    until(shown, HISTORY_TIMEOUT_S, "the application's page")


def test_dashboards_read_hdfs_and_let_in_whom_airflow_knows(cluster: Cluster, airflow: AirflowApi) -> None:
    run(airflow, DAG, {})
    assert cluster.python("dashboards", COUNTED, {"HADOOP_USER_NAME": READER}) == 16
    url = f"http://127.0.0.1:{cluster.ports['MILLSTREAM_DASHBOARDS_PORT']}"
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        assert client.get("/d/flights/").headers["location"] == "/login?next=/d/flights/"
        login = {"user": "admin", "password": cluster.secret("airflow_admin_password"), "next": "/d/flights/"}
        assert client.post("/login", data=login).headers["location"] == "/d/flights/"
        assert "marimo" in client.get("/d/flights/").raise_for_status().text
