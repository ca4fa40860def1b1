"""Who may do what, and where no secret may stand: asked of the real stack, after real runs.

docs/threat-model.md says which threat each test is about. The search for secrets reads every file below the
stack's home except the folder of secrets, unpacked (event logs are zstandard, data is Parquet, database pages
cut long values). It would also pass if it looked in the wrong place, so for each place there is a text of the
same runs, usually a run id, that the same function must find in what it has just read.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import httpx
import psutil
import pytest

from millstream.landing.manifest import run_key
from millstream.ml.mlflow_api import MlflowApi
from millstream.settings import Settings
from millstream_stack.credentials import Credentials
from millstream_stack.services.declared import service_environment, services
from millstream_stack.supervision.lifecycle import supervisor_of
from millstream_stack.supervision.processes import strays
from tests.support.airflow_user import AirflowUser
from tests.support.canaries import ArgumentWatch, Text, files, found
from tests.support.carried import EVER, carry

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

MODEL = "big_data_text"
# It waits for a year of flights and is paused: its runs do nothing.
PAUSED = "train_arrival_delay"
OWN_PAGE = "/millstream/data-docs/index.html"
# How every JSON web token begins: `{"alg":` or `{"typ":` in base64.
TOKENS = {"a token": "eyJhbGciOi", "another kind of token": "eyJ0eXAiOi"}
ADD_USERS = """
import json, sys
from millstream_stack.services.airflow_setup import ensure_login
for role, password in json.load(sys.stdin).items():
    ensure_login(role, password, role)
"""
# The DAGs run over Spark Connect; a connection of type spark hands secrets to a process of its own.
SUBMITTED = "submitted__by_the_test_of_secrets"
SUBMIT = """
import sys
from datetime import UTC, datetime
from types import SimpleNamespace
from millstream_airflow.tasks.spark_job import SparkJobOperator
run = sys.argv[1]
names = {"dag_id": "d", "run_id": run, "task_id": "t", "map_index": -1, "try_number": 1}
task = SimpleNamespace(**names, start_date=datetime.now(UTC))
operator = SparkJobOperator(
    task_id="t",
    job="find_quarantined",
    dataset="weather",
    conn_id="spark_default",
    mlflow_conn_id="mlflow_default",
)
operator.execute({"dag_run": SimpleNamespace(run_id=run), "ti": task})
"""

Clients = dict[str, httpx.Client]


@pytest.fixture(scope="module")
def passwords(api: AirflowUser, settings: Settings, credentials: Credentials) -> dict[str, str]:
    """Of users who are called as their role is; `Public` may see nothing."""
    passwords = {role: secrets.token_urlsafe(24) for role in ("Viewer", "Op", "Public")}
    subprocess.run(
        [sys.executable, "-c", ADD_USERS],
        env=service_environment("airflow-setup", settings, credentials),
        input=json.dumps(passwords),
        text=True,
        check=True,
    )
    return passwords


@pytest.fixture(scope="module")
def users(api: AirflowUser, credentials: Credentials, passwords: dict[str, str]) -> Iterator[Clients]:
    """Logged in users of Airflow by their role, one without a login, and the administrator of the stack."""
    logins = {
        **{role: (role, passwords[role]) for role in ("Viewer", "Op")},
        "Admin": (credentials.airflow_user, credentials.airflow_password),
    }
    with ExitStack() as stack:
        clients = {
            name: stack.enter_context(httpx.Client(base_url=api.url, timeout=60, trust_env=False))
            for name in (*logins, "nobody")
        }
        for name, (user, password) in logins.items():
            answer = clients[name].post("/auth/token", json={"username": user, "password": password})
            clients[name].headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        yield clients


@pytest.fixture(scope="module")
def secrets_of_all(canaries: dict[str, str], users: Clients) -> dict[str, str]:
    """The canaries, tokens of users, and what is entered in the web UI: a connection and a variable."""
    entered = {name: secrets.token_urlsafe(24) for name in ("password", "extra", "variable")}
    connection = {
        "connection_id": "entered_by_hand",
        "conn_type": "http",
        "host": "127.0.0.1",
        "password": entered["password"],
        "extra": json.dumps({"api_key": entered["extra"]}),
    }
    variable = {"key": "secret_entered_by_hand", "value": entered["variable"]}
    users["Admin"].post("/api/v2/connections", json=connection).raise_for_status()
    users["Admin"].post("/api/v2/variables", json=variable).raise_for_status()
    tokens = {
        f"token of {name}": client.headers["Authorization"].removeprefix("Bearer ")
        for name, client in users.items()
        if name != "nobody"
    }
    return {**canaries, **entered, **tokens}


@dataclass(frozen=True)
class Carried:
    """What names the runs of this module: in the lake, in Airflow, and in MLflow."""

    ingest: str
    ingest_run_id: str
    train: str
    train_run_id: str
    mlflow_run: str


@pytest.fixture(scope="module")
def carried(
    api: AirflowUser, settings: Settings, credentials: Credentials, secrets_of_all: dict[str, str]
) -> Carried:
    """Runs through every connection: files, HTTP and SQL, Spark Connect, spark-submit and MLflow."""
    runs, _ = carry(api, "ingest_docstrings", "ingest_weather", "ingest_airlines")
    of = {run.dag_id: run.run_id for run in runs}
    # The first docstrings were trained on, and nothing but a new row is trained on again.
    registering = (f"train_{MODEL}", "register", "success")
    (train, *_) = (
        task.run_id
        for task in api.tasks_since(EVER)
        if (task.dag_id, task.task_id, task.state) == registering
    )
    with MlflowApi(settings.mlflow_url, credentials.mlflow_user, credentials.mlflow_password) as mlflow:
        champion = mlflow.champion(MODEL)
    assert champion is not None
    subprocess.run(
        [sys.executable, "-c", SUBMIT, SUBMITTED],
        env=service_environment("airflow-scheduler", settings, credentials),
        check=True,
    )
    ingest = of["ingest_docstrings"]
    return Carried(run_key(ingest), ingest, run_key(train), train, champion.run.run_id)


def connect_configuration(settings: Settings, control: str) -> Text:
    """All that Spark Connect tells a client of its configuration."""
    from pyspark.sql.connect.session import SparkSession

    spark = SparkSession.builder.remote(settings.connect_url).create()
    try:
        spark.conf.set("spark.millstream.control", control)
        return "Spark Connect's configuration", json.dumps(spark.conf.getAll).encode()
    finally:
        spark.stop()


def spark_ui_environment(settings: Settings) -> Text:
    """What Spark's web UI tells of its environment, to everybody of this machine."""
    applications = f"{settings.spark_ui_url}/api/v1/applications"
    (application,) = httpx.get(applications, trust_env=False, timeout=60).json()
    answer = httpx.get(f"{applications}/{application['id']}/environment", trust_env=False, timeout=60)
    return "Spark's web UI", answer.content


def test_no_secret_is_left_anywhere(
    settings: Settings, carried: Carried, secrets_of_all: dict[str, str], arguments: ArgumentWatch
) -> None:
    home = settings.home
    # Each place with a text of these very runs that must be found there, by the same search.
    places: dict[str, tuple[Iterable[Text], str]] = {
        "task logs": (files(home / "logs" / "airflow"), carried.ingest_run_id),
        "logs of Airflow's services": (files(*(home / "logs").glob("airflow-*.log")), carried.ingest_run_id),
        "process arguments": (arguments.texts(), f"--lake-root\0{settings.lake_root}"),
        "Spark's event logs": (files(home / "spark-events"), carried.ingest),
        "Spark's configuration": ([connect_configuration(settings, carried.ingest)], carried.ingest),
        "Spark's web UI": ([spark_ui_environment(settings)], "spark.delta.logStore.file.impl"),
        "Airflow's database and its XComs": (files(home / "airflow" / "airflow.db"), carried.ingest),
        "MLflow's database": (files(home / "mlflow" / "mlflow.db"), carried.train),
        "MLflow's artifacts": (files(home / "mlflow" / "artifacts"), carried.mlflow_run),
        "Delta logs": (files(*(home / "lake").rglob("_delta_log")), carried.ingest),
        "Data Docs": (files(home / "lake" / "data_docs"), carried.ingest),
        "OpenLineage events": (files(home / "lineage"), carried.train_run_id),
    }
    read = {place: (list(texts), control) for place, (texts, control) in places.items()}

    looked_past = [place for place, (texts, control) in read.items() if not found(texts, {"it": control})]
    hits = [hit for texts, _ in read.values() for hit in found(texts, secrets_of_all)]
    hits += found(files(home, without=home / "secrets"), secrets_of_all)
    for place in ("task logs", "logs of Airflow's services", "process arguments", "Spark's event logs"):
        hits += found(read[place][0], TOKENS)
    assert (looked_past, sorted(set(hits))) == ([], [])


def test_the_search_finds_a_secret_where_there_is_one(settings: Settings, canaries: dict[str, str]) -> None:
    kept = found(files(settings.home / "secrets"), canaries)
    assert {name for name, _ in kept} >= canaries.keys() & Credentials.model_fields.keys()
    control = secrets.token_urlsafe(24)
    with ArgumentWatch() as watch:
        process = subprocess.Popen([sys.executable, "-c", "input()", control], stdin=subprocess.PIPE)
        try:
            watch.wait_for(process.pid)
        finally:
            process.communicate(b"\n")
    assert found(watch.texts(), {"it": control}) == {("it", "process arguments")}


def test_without_a_login_nothing_is_told(users: Clients, carried: Carried) -> None:
    for path in (
        "/api/v2/dags",
        "/api/v2/connections",
        "/api/v2/variables",
        "/api/v2/dags/~/dagRuns",
        f"/api/v2/dags/train_{MODEL}/dagRuns/{carried.train_run_id}/taskInstances/register/xcomEntries",
        "/auth/fab/v1/users",
        OWN_PAGE,
        "/millstream/data-docs/",
        "/millstream/data-docs/none.html",
    ):
        assert users["nobody"].get(path).status_code == 401, path
    trigger = users["nobody"].post(f"/api/v2/dags/{PAUSED}/dagRuns", json={"logical_date": None})
    assert trigger.status_code == 401
    login = {"username": "admin", "password": "admin"}
    assert users["nobody"].post("/auth/token", json=login).status_code == 401


def statuses(users: Clients, method: str, path: str, **body: Any) -> tuple[int, int, int]:
    """What a viewer, an operator and an administrator are answered, in this order."""
    viewer, operator, admin = (
        users[name].request(method, path, **body).status_code for name in ("Viewer", "Op", "Admin")
    )
    return viewer, operator, admin


def test_a_viewer_looks_an_operator_runs_an_admin_manages(users: Clients, carried: Carried) -> None:
    assert statuses(users, "GET", "/api/v2/dags") == (200, 200, 200)
    assert statuses(users, "GET", OWN_PAGE) == (200, 200, 200)
    runs = f"/api/v2/dags/{PAUSED}/dagRuns"
    assert statuses(users, "PATCH", f"/api/v2/dags/{PAUSED}", json={"is_paused": True}) == (403, 200, 200)

    refused = users["Viewer"].post(runs, json={"logical_date": None})
    triggered = users["Op"].post(runs, json={"logical_date": None})
    assert (refused.status_code, triggered.status_code) == (403, 200)
    run_id = triggered.json()["dag_run_id"]
    clear = {"dag_run_id": run_id, "dry_run": False, "only_failed": False}
    path = f"/api/v2/dags/{PAUSED}/clearTaskInstances"
    assert statuses(users, "POST", path, json=clear) == (403, 200, 200)
    assert users["Viewer"].delete(f"{runs}/{run_id}").status_code == 403
    assert users["Admin"].delete(f"{runs}/{run_id}").status_code == 204

    xcoms = f"/api/v2/dags/train_{MODEL}/dagRuns/{carried.train_run_id}/taskInstances/register/xcomEntries"
    assert users["Viewer"].post(xcoms, json={"key": "x", "value": 1}).status_code == 403
    assert statuses(users, "GET", "/auth/fab/v1/users") == (403, 403, 200)
    assert statuses(users, "GET", "/api/v2/eventLogs") == (403, 403, 200)


def test_dashboards_are_for_who_may_look_in_airflow(settings: Settings, passwords: dict[str, str]) -> None:
    answers = {}
    for user, password in passwords.items():
        login = {"user": user, "password": password, "next": "/"}
        answers[user] = httpx.post(
            f"{settings.dashboards_url}/login", data=login, trust_env=False, timeout=60
        )
    assert {user: answer.status_code for user, answer in answers.items()} == {
        "Viewer": 303,
        "Op": 303,
        "Public": 401,
    }
    assert "ask for the role Viewer" in answers["Public"].text


def test_connections_and_variables_are_hidden_from_viewers_and_masked_for_all(
    users: Clients, secrets_of_all: dict[str, str]
) -> None:
    for path, name in (
        ("/api/v2/connections", "entered_by_hand"),
        ("/api/v2/variables", "secret_entered_by_hand"),
    ):
        assert statuses(users, "GET", path) == (403, 200, 200)
        assert statuses(users, "GET", f"{path}/{name}") == (403, 200, 200)
        for role in ("Op", "Admin"):
            answer = users[role].get(f"{path}/{name}")
            assert found([("answer", answer.content)], {"it": name})
            assert found([("answer", answer.content)], secrets_of_all) == set()


@pytest.fixture(scope="module")
def mlflow_users(settings: Settings, credentials: Credentials, carried: Carried) -> Iterator[Clients]:
    """MLflow's administrator, a user without any permission of its own, and one without a login."""
    reader = ("reader", secrets.token_urlsafe(24))
    admin = (credentials.mlflow_user, credentials.mlflow_password)
    with ExitStack() as stack:
        clients = {
            name: stack.enter_context(
                httpx.Client(base_url=settings.mlflow_url, auth=login, timeout=60, trust_env=False)
            )
            for name, login in {"admin": admin, "reader": reader, "nobody": None}.items()
        }
        user = {"username": reader[0], "password": reader[1]}
        clients["admin"].post("/api/2.0/mlflow/users/create", json=user).raise_for_status()
        yield clients


def test_mlflow_without_a_login_tells_nothing(mlflow_users: Clients) -> None:
    nobody = mlflow_users["nobody"]
    model = {"name": MODEL}
    assert nobody.get("/api/2.0/mlflow/registered-models/get", params=model).status_code == 401
    assert nobody.post("/api/2.0/mlflow/experiments/search", json={"max_results": 1}).status_code == 401
    assert nobody.get("/api/2.0/mlflow-artifacts/artifacts").status_code == 401
    user = {"username": "intruder", "password": "a password of twelve"}
    assert nobody.post("/api/2.0/mlflow/users/create", json=user).status_code == 401
    wrong = nobody.get("/api/2.0/mlflow/registered-models/get", params=model, auth=("admin", "password1234"))
    assert wrong.status_code == 401


def test_in_mlflow_a_user_reads_and_changes_no_model(
    mlflow_users: Clients, settings: Settings, carried: Carried
) -> None:
    reader, admin = mlflow_users["reader"], mlflow_users["admin"]
    registry = "/api/2.0/mlflow/registered-models"
    assert reader.get(f"{registry}/get", params={"name": MODEL}).status_code == 200
    alias = {"name": MODEL, "alias": "champion", "version": "1"}
    assert reader.post(f"{registry}/alias", json=alias).status_code == 403
    assert reader.request("DELETE", f"{registry}/delete", json={"name": MODEL}).status_code == 403
    tag = {"name": MODEL, "version": "1", "key": "artifact_sha256", "value": "0" * 64}
    assert reader.post("/api/2.0/mlflow/model-versions/set-tag", json=tag).status_code == 403
    metric = {"run_id": carried.mlflow_run, "key": "test_auc_roc", "value": 1.0, "timestamp": 0}
    assert reader.post("/api/2.0/mlflow/runs/log-metric", json=metric).status_code == 403
    user = {"username": "friend", "password": "a password of twelve"}
    assert reader.post("/api/2.0/mlflow/users/create", json=user).status_code == 403

    artifacts = settings.home / "mlflow" / "artifacts"
    stored = next(path for path in artifacts.rglob("sparkml/metadata/part-*") if path.is_file())
    before = stored.read_bytes()
    path = f"/api/2.0/mlflow-artifacts/artifacts/{stored.relative_to(artifacts).as_posix()}"
    assert admin.get(path).content == before
    assert reader.put(path, content=b"tampered").status_code == 403
    assert reader.delete(path).status_code == 403
    assert stored.read_bytes() == before


def test_every_service_listens_on_this_machine_only(
    api: AirflowUser, settings: Settings, credentials: Credentials
) -> None:
    processes = strays(settings.home, supervisor_of(settings, credentials).session)
    listening = {
        (connection.laddr.ip, connection.laddr.port)
        for process in processes
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    started = [service for service in services(settings) if not service.part]
    ports = {getattr(settings, name) for service in started for name in service.ports}
    assert ports <= {port for _, port in listening}
    assert [(ip, port) for ip, port in listening if not _is_loopback(ip)] == []


def _is_loopback(ip: str) -> bool:
    address = ip_address(ip)
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
