"""Engines are found by the type of their connection; one more of them is one more module."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from millstream.errors import ConfigurationError
from millstream_airflow import engines
from millstream_airflow.engines import Attempt, engine_for
from millstream_airflow.tasks.spark_job import SparkJobOperator

ELSEWHERE = """
class Engine:
    def __init__(self, connection):
        self.host = connection.host

    def run(self, job, arguments, attempt, environment):
        return {"job": job, "host": self.host, "attempt": attempt.name, "months": arguments["partitions"]}

    def url(self, attempt):
        return f"http://{self.host}/{attempt.name}"

    def kill(self):
        raise KeyboardInterrupt("killed")
"""


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A connection to an engine that only this test has."""
    (tmp_path / "elsewhere.py").write_text(ELSEWHERE)
    monkeypatch.setattr(engines, "__path__", [*engines.__path__, str(tmp_path)])
    monkeypatch.setenv("AIRFLOW_CONN_FAR", json.dumps({"conn_type": "elsewhere", "host": "far"}))
    return "far"


@pytest.fixture
def context() -> Any:
    ti = SimpleNamespace(dag_id="d", run_id="manual__1", task_id="t", map_index=-1, try_number=2)
    return {"dag_run": SimpleNamespace(run_id="manual__1"), "ti": ti}


def test_an_engine_is_one_module(elsewhere: str, context: Any) -> None:
    operator = SparkJobOperator(
        task_id="t", job="transform", arguments={"partitions": ["2013-01"]}, conn_id=elsewhere
    )
    assert operator.execute(context) == {
        "job": "transform",
        "host": "far",
        "attempt": "d/manual__1/t/-1/2",
        "months": ["2013-01"],
    }
    assert operator.links["Spark"] == "http://far/d/manual__1/t/-1/2"
    with pytest.raises(KeyboardInterrupt, match="killed"):
        operator.on_kill()


@pytest.mark.parametrize(
    ("extra", "page"),
    [
        ({"ui_url": "http://pages:4040"}, r"http://pages:4040/connect/session/\?id=.{36}"),
        ({}, r"http://connect:4040/connect/session/\?id=.{36}"),
    ],
)
def test_a_task_leads_to_the_pages_that_show_its_queries(
    monkeypatch: pytest.MonkeyPatch, extra: dict[str, str], page: str
) -> None:
    value = {"conn_type": "spark_connect", "host": "connect", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_PAGES", json.dumps(value))
    url = engine_for("pages").url(Attempt("d", "r", "t", -1, 1))
    assert re.fullmatch(page, url or "")


@pytest.mark.parametrize(
    ("value", "page"),
    [
        (
            {"conn_type": "spark_connect", "host": "connect", "extra": {"history_url": "http://h:1/"}},
            "http://h:1",
        ),
        ({"conn_type": "spark", "host": "yarn", "extra": {"history_url": "http://h:1"}}, "http://h:1"),
        ({"conn_type": "spark", "host": "yarn"}, None),
    ],
)
def test_behind_yarn_it_leads_to_the_application_in_the_history_server(
    monkeypatch: pytest.MonkeyPatch, value: dict[str, Any], page: str | None
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_PAGES", json.dumps(value))
    engine: Any = engine_for("pages")
    attempt = Attempt("d", "r", "t", -1, 1)
    assert engine.url(attempt) is None
    engine._application = "application_1_0001"
    assert engine.url(attempt) == (page and f"{page}/history/application_1_0001/")


def test_a_job_that_fails_has_its_link_all_the_same(elsewhere: str, context: Any) -> None:
    operator = SparkJobOperator(task_id="t", job="transform", conn_id=elsewhere)
    with pytest.raises(KeyError, match="partitions"):
        operator.execute(context)
    assert operator.links["Spark"] == "http://far/d/manual__1/t/-1/2"


@pytest.mark.parametrize("kind", ["http", "../x", "millstream.jobs", ""])
def test_a_connection_of_another_type_is_refused(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_ODD", json.dumps({"conn_type": kind, "host": "far"}))
    with pytest.raises(ConfigurationError, match="a Spark job needs spark_connect or spark"):
        engine_for("odd")


@pytest.mark.parametrize(
    ("connection", "why"),
    [
        ({"host": "spark://m:7077", "extra": {"deploy-mode": "cluster"}}, "on yarn, not on spark://m:7077"),
        ({"host": "yarn", "extra": {"deploy-mode": "cluster"}}, "no yarn_resourcemanager_webapp_address"),
        (
            {"extra": {"deploy-mode": "cluster", "yarn_resourcemanager_webapp_address": "rm:8088"}},
            "expected http://<host>:8088",
        ),
    ],
)
def test_a_connection_that_cannot_be_right_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, connection: dict[str, Any], why: str
) -> None:
    monkeypatch.setenv("MILLSTREAM_LAKE_ROOT", f"file://{tmp_path}/lake")
    monkeypatch.setenv("AIRFLOW_CONN_SUBMIT", json.dumps({"conn_type": "spark", **connection}))
    with pytest.raises(ConfigurationError, match=why):
        engine_for("submit").run("transform", {}, Attempt("d", "r", "t", -1, 1), {})


def test_the_tries_before_one_are_named() -> None:
    attempt = Attempt("d", "r", "t", -1, 4)
    assert attempt.earlier(2) == ["d/r/t/-1/2", "d/r/t/-1/3"]
    assert Attempt("d", "r", "t", -1, 1).earlier(5) == []
