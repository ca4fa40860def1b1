"""The DAG of a mart by month: what it refuses when it is read, and what its task builds of which tables."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException
from airflow.sdk.execution_time.context import set_current_context

from millstream.errors import ContractError
from millstream.lake import history
from millstream.lake.tables import TableRef
from millstream.quality.suite import Suite
from millstream_airflow import catalog, engines
from millstream_airflow.pipelines.marts import mart_dag
from millstream_airflow.tasks.publish import MartOperator
from tests.support.ledger_tables import publish
from tests.support.noted_task import NotedTask

FEATURES, TABLE = "gold.arrival_delay_features", "gold.by_month"
SELECT = "/* partition: month */ SELECT month, count(*) AS n FROM gold.arrival_delay_features GROUP BY month"
ENGINE = """
class Engine:
    def __init__(self, connection):
        pass

    def run(self, job, arguments, attempt, environment):
        return {"rows": 1, "inputs": arguments["inputs"], "made": arguments["partitions"]}

    def url(self, attempt):
        return None
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "marts").mkdir()
    (tmp_path / "recorded_engine.py").write_text(ENGINE)
    monkeypatch.setattr(engines, "__path__", [*engines.__path__, str(tmp_path)])
    monkeypatch.setenv("AIRFLOW_CONN_RECORDED", json.dumps({"conn_type": "recorded_engine"}))
    monkeypatch.setenv("MILLSTREAM_PROJECT", str(tmp_path))
    monkeypatch.setenv("MILLSTREAM_LAKE_ROOT", f"file://{tmp_path}/lake")
    return tmp_path


def written(project: Path, sql: str, name: str = "by_month") -> None:
    (project / "marts" / f"{name}.sql").write_text(sql)


def test_what_is_not_proved_is_refused_when_the_dag_is_read(project: Path) -> None:
    written(project, SELECT)
    assert "It is made by month" in (mart_dag("by_month").doc_md or "")
    written(project, SELECT.replace("count(*) AS n", "count(*)\nOVER () AS n"))
    with pytest.raises(ContractError, match=r"marts/by_month\.sql: line 1: partition: .* GROUP BY|window"):
        mart_dag("by_month")
    written(project, SELECT.replace("partition: month", "partition: day"))
    with pytest.raises(ContractError, match=r"partition: its column 'day' is not the month"):
        mart_dag("by_month")
    written(project, SELECT.replace("partition: month", "partition: a month"))
    with pytest.raises(ContractError, match=r"marts/by_month\.sql: partition: String should match"):
        mart_dag("by_month")


def test_a_mart_by_month_is_a_table_that_is_cut(project: Path) -> None:
    written(project, SELECT)
    again = "/* partition: month */ SELECT month, n FROM gold.by_month WHERE n > 1"
    written(project, again, "again")
    assert catalog.mart("again").inputs == (TABLE,)
    written(project, SELECT.replace("/* partition: month */", ""))
    with pytest.raises(ContractError, match=r"none of the tables that it reads is cut by months, gold\.by_m"):
        catalog.mart("again")


def test_the_task_makes_the_months_that_have_changed(project: Path) -> None:
    """And hands on how they are to be judged and published."""
    root = f"file://{project}/lake"
    written(project, SELECT)

    def run(force: bool = False) -> tuple[dict[str, Any], list[str]]:
        now = {"arguments": {"inputs": {FEATURES: history.version(TableRef.parse(FEATURES), root)}}}
        operator = MartOperator(task_id="build", job="build_mart", mart="by_month", conn_id="recorded", **now)
        names = {"dag_id": "d", "run_id": "r", "task_id": "build", "map_index": -1, "try_number": 1}
        ti = NotedTask(**names, start_date=datetime(2026, 1, 1, tzinfo=UTC))
        context: Any = {"dag_run": SimpleNamespace(run_id="r"), "ti": ti, "params": {"force": force}}
        with set_current_context(context):
            try:
                return operator.execute(context), ti.lines
            except AirflowSkipException:
                return {}, ti.lines

    publish(root, FEATURES, "r1", read=9, partition="2013-01")
    whole, lines = run()
    assert (whole["made"], whole["load"], whole["partitions"], whole["rest"]) == ([], "full", [], None)
    assert (whole["partition_column"], whole["suite_parameters"]) == ("month", {})
    assert lines == [f"made the whole table: {TABLE} is not published yet, or somebody has changed it since"]

    versions = {
        "code_version": catalog.mart("by_month").version,
        "suite_version": Suite.from_dict(catalog.suite("by_month")).version,
    }
    publish(root, TABLE, "r1", read=1, partition="2013-01", inputs={FEATURES: 0}, **versions)
    assert run() == ({}, [f"{TABLE} has these rows already: no row of its tables has changed"])
    forced, lines = run(force=True)
    assert (forced["load"], lines) == ("full", ["made the whole table: it was asked for with force"])

    publish(root, FEATURES, "r2", read=4, partition="2013-02")
    made, lines = run()
    assert made["made"] == made["partitions"] == ["2013-02"]
    assert (made["load"], made["rest"], made["suite_parameters"]) == (
        "partition",
        {FEATURES: 0},
        {"least_rows": 0},
    )
    assert lines == [f"made months 2013-02: changed in {FEATURES}"]
