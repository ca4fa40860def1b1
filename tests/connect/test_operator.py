"""The Spark operator on both kinds of connection, for real: links, and which failures are retried."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.definitions.retry_policy import RetryAction
from deltalake import DeltaTable

from millstream.errors import (
    ClusterError,
    PermanentError,
    SourceDataError,
    TransientError,
)
from millstream.settings import Settings
from millstream_airflow import catalog
from millstream_airflow.tasks.retries import RETRY_POLICY
from millstream_airflow.tasks.spark_job import SparkJobOperator
from tests.connect.test_sessions import running_jobs, wait_for_jobs


def connection(monkeypatch: pytest.MonkeyPatch, name: str, **fields: Any) -> str:
    monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(fields))
    return name


def context(try_number: int = 1, run: str = "manual__1") -> Any:
    return {
        "dag_run": SimpleNamespace(run_id=run),
        "ti": SimpleNamespace(
            dag_id="d",
            run_id=run,
            task_id="t",
            map_index=-1,
            try_number=try_number,
            start_date=datetime(2026, 1, 1, tzinfo=UTC),
        ),
    }


def job(conn_id: str) -> SparkJobOperator:
    """A job that fails at once: its run has landed nothing."""
    return SparkJobOperator(task_id="t", job="load_bronze", dataset="airlines", conn_id=conn_id)


@pytest.fixture
def lake(server: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    root = f"file://{tmp_path}/lake"
    monkeypatch.setenv("MILLSTREAM_LAKE_ROOT", root)
    return root


def test_over_connect_the_jobs_own_exception_is_raised_and_not_retried(
    server: Settings, lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    conn = connection(monkeypatch, "c", conn_type="spark_connect", host=server.host, port=server.connect_port)
    operator = job(conn)
    with pytest.raises(SourceDataError, match="run manual__1 has landed nothing") as failure:
        operator.execute(context())
    assert RETRY_POLICY.evaluate(failure.value, 1, 3).action is RetryAction.FAIL
    assert operator.links["Spark"].startswith(f"http://{server.host}:")
    assert "/connect/session/?id=" in operator.links["Spark"]


def test_a_later_try_ends_what_an_earlier_one_left_running(
    server: Settings, lake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conn = connection(monkeypatch, "c", conn_type="spark_connect", host=server.host, port=server.connect_port)
    uri = f"file://{tmp_path}/table"
    script = Path(__file__).parents[1] / "support" / "slow_writer.py"
    # Named as the operator names the first try of the context's task; a session's name is used once.
    first = subprocess.Popen([sys.executable, str(script), server.connect_url, "d/manual__3/t/-1/1", uri])
    wait_for_jobs(server, wanted=True)
    first.kill()
    first.wait(10)
    assert running_jobs(server) > 0

    with pytest.raises(SourceDataError, match="has landed nothing"):
        job(conn).execute(context(try_number=3, run="manual__3"))
    wait_for_jobs(server, wanted=False)
    assert not DeltaTable.is_deltatable(uri), "the first try's commit must never land"


def test_submitted_the_jobs_own_exception_is_raised_and_not_retried(
    lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    conn = connection(monkeypatch, "s", conn_type="spark", host="local[1]")
    # Its word comes back through a file.
    with pytest.raises(SourceDataError, match="run manual__1 has landed nothing") as failure:
        job(conn).execute(context())
    assert RETRY_POLICY.evaluate(failure.value, 1, 3).action is RetryAction.FAIL


def test_a_connect_server_that_is_down_is_retried(lake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    conn = connection(monkeypatch, "down", conn_type="spark_connect", host="127.0.0.1", port=1)
    with pytest.raises(TransientError, match=r"sc://127\.0\.0\.1:1 does not answer") as failure:
        job(conn).execute(context())
    assert RETRY_POLICY.evaluate(failure.value, 1, 3).action is RetryAction.RETRY


def test_a_submission_that_dies_without_a_word_is_retried(lake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    conn = connection(monkeypatch, "gone", conn_type="spark", host="spark://127.0.0.1:1")
    monkeypatch.setattr(catalog, "submitted_conf", lambda: {"spark.driver.memory": "none"})
    operator = job(conn)
    with pytest.raises(ClusterError, match="ended without an outcome") as failure:
        operator.execute(context())
    assert RETRY_POLICY.evaluate(failure.value, 1, 3).action is RetryAction.RETRY


def test_wrong_arguments_are_named_before_any_session(lake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    conn = connection(monkeypatch, "never", conn_type="spark_connect", host="127.0.0.1", port=1)
    operator = SparkJobOperator(task_id="t", job="load_bronze", conn_id=conn, arguments={"table": "x"})
    with pytest.raises(
        PermanentError, match=r"job load_bronze: wrong arguments: contract: Field required.*table"
    ):
        operator.execute(context())


def test_another_kind_of_connection_is_refused(lake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    conn = connection(monkeypatch, "web", conn_type="http", host="127.0.0.1")
    with pytest.raises(PermanentError, match="of type http; a Spark job needs spark_connect or spark"):
        job(conn).execute(context())
