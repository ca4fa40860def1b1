"""A mart's SQL that changes while its table is built: the version on record is that of the SQL that ran."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from millstream.marts import Mart
from millstream_airflow import catalog, engines
from millstream_airflow.tasks.publish import MartOperator

BEFORE = "SELECT origin FROM silver.flights"
AFTER = "SELECT dest FROM silver.flights"
# While the job runs, somebody deploys another SQL.
DEPLOYING = f"""
from pathlib import Path

class Engine:
    def __init__(self, connection):
        self.file = Path(connection.host)

    def run(self, job, arguments, attempt, environment):
        self.file.write_text({AFTER!r})
        return {{"rows": 1, "ran": arguments["mart"]}}

    def url(self, attempt):
        return None
"""


def test_the_version_on_record_is_that_of_the_sql_that_ran(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "marts" / "by_airport.sql"
    file.parent.mkdir()
    file.write_text(BEFORE)
    (tmp_path / "deploying.py").write_text(DEPLOYING)
    monkeypatch.setattr(engines, "__path__", [*engines.__path__, str(tmp_path)])
    monkeypatch.setenv("AIRFLOW_CONN_MEANWHILE", json.dumps({"conn_type": "deploying", "host": str(file)}))
    monkeypatch.setenv("MILLSTREAM_PROJECT", str(tmp_path))
    names = {"dag_id": "d", "run_id": "r", "task_id": "build", "map_index": -1, "try_number": 1}
    ti = SimpleNamespace(**names, start_date=datetime(2026, 1, 1, tzinfo=UTC))
    context: Any = {"dag_run": SimpleNamespace(run_id="r"), "ti": ti}
    operator = MartOperator(task_id="build", job="build_mart", mart="by_airport", conn_id="meanwhile")

    first = operator.execute(context)
    assert catalog.mart("by_airport").sql == AFTER
    assert first["ran"]["sql"] == BEFORE
    # Cleared, the task takes the SQL that is deployed by then.
    second = operator.execute(context)
    assert second["ran"]["sql"] == AFTER
    for result in (first, second):
        assert result["mart"] == result["ran"]
        assert result["code_version"] == Mart.model_validate(result["ran"]).version
