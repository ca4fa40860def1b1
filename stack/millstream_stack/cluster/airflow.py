"""Airflow on PostgreSQL and Celery: what each of its services has in its environment.

A worker knows the broker and the address of Airflow's API, neither the database nor a connection: its tasks
ask the API for the connections they use, with the token of their own run.
"""

from __future__ import annotations

import sys

from millstream.settings import Settings
from millstream_stack.cluster.lake_setup import READER
from millstream_stack.cluster.secret_files import read
from millstream_stack.environment import airflow_options, as_variables

Options = dict[str, dict[str, object]]
API_PORT = 8080
API = f"http://airflow-api-server:{API_PORT}"
BROKER = "valkey:6379"
DATABASE = "postgres:5432"
# Tasks at a time in one worker: the pools limit what is heavy.
WORKER_TASKS = 4


def command(service: str) -> tuple[str, ...]:
    """What an Airflow service runs. Logs are read from the shared folder: none serves its own."""
    airflow = (sys.executable, "-m", "airflow")
    preloaded = (sys.executable, "-m", "millstream_stack.services.airflow_preloaded")
    return {
        "api-server": (*airflow, "api-server"),
        "scheduler": (*airflow, "scheduler", "--skip-serve-logs"),
        "dag-processor": (*preloaded, "dag-processor"),
        "triggerer": (*airflow, "triggerer", "--skip-serve-logs"),
        "worker": (sys.executable, "-m", "millstream_stack.cluster.worker"),
        "setup": (sys.executable, "-m", "millstream_stack.cluster.airflow_setup"),
    }[service]


def environment(service: str, settings: Settings) -> dict[str, str]:
    """`AIRFLOW__*` of one service: each reads the secrets that it needs and no others."""
    options = airflow_options(settings)
    more: list[Options] = [_common()]
    if service in ("scheduler", "worker"):
        more.append(_broker())
    if service != "worker":
        more.append(_database())
    if service in ("api-server", "scheduler"):
        # The scheduler signs the tokens of tasks, the API checks them.
        more.append({"api_auth": {"jwt_secret": read("airflow_jwt_secret")}})
    if service == "api-server":
        # The port in its container; MILLSTREAM_AIRFLOW_PORT is that of the machine.
        at = {"host": "0.0.0.0", "port": API_PORT}
        more.append({"api": {**at, "secret_key": read("airflow_api_secret")}})
    if service == "scheduler":
        more.append({"scheduler": {"enable_health_check": True}})
    variables = as_variables(options)
    for group in more:
        variables |= as_variables(group)
    if service == "api-server":
        # It shows pages of the lake, and has nothing to write there.
        variables["HADOOP_USER_NAME"] = READER
    return variables


def _common() -> Options:
    return {"core": {"executor": "CeleryExecutor", "execution_api_server_url": f"{API}/execution/"}}


def _database() -> Options:
    password = read("airflow_database_password")
    return {
        "core": {"fernet_key": read("airflow_fernet_key")},
        "database": {"sql_alchemy_conn": f"postgresql+psycopg2://airflow:{password}@{DATABASE}/airflow"},
    }


def _broker() -> Options:
    address = f"redis://:{read('broker_password')}@{BROKER}"
    return {
        "celery": {
            "broker_url": f"{address}/0",
            "result_backend": f"{address}/1",
            "worker_concurrency": WORKER_TASKS,
            # A worker takes a task only when it can start it; the other one may be idle.
            "worker_prefetch_multiplier": 1,
        },
        # A task may run for a day before its message counts as lost.
        "celery_broker_transport_options": {"visibility_timeout": 86400},
    }
