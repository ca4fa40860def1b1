"""What a run does otherwise that makes a table anew."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag

from millstream.contracts.contract import Contract
from millstream.errors import ConfigurationError
from millstream.settings import CHECKOUT
from millstream_airflow import catalog
from millstream_airflow.pipelines import ingest

NOW = datetime(2013, 3, 15, tzinfo=UTC)
EVENTS = {
    "dataset": "events",
    "source": {"kind": "files", "connection": "drop", "format": "jsonl", "path": "*.jsonl"},
    "load": "append",
    "columns": [{"name": "id"}, {"name": "at", "type": "timestamp", "nullable": False}],
    "primary_key": ["id"],
}


def context(rebuild: bool) -> Any:
    params = {"rebuild": rebuild, "mode": "elt", "start": None, "end": None}
    return {
        "params": params,
        "dag_run": SimpleNamespace(dag_id="d", run_id="r", run_after=NOW, run_type="manual"),
        "ti": SimpleNamespace(start_date=NOW),
    }


def known(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    contract = Contract.from_dict({**EVENTS, **changes}, origin="events.yaml")
    monkeypatch.setattr(catalog, "contract", lambda name: contract)


def test_of_files_whose_rows_are_added_all_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    known(monkeypatch)
    assert ingest._as_read("events", context(False)).load == "append"
    assert ingest._as_read("events", context(True)).load == "full"


def test_a_history_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    known(monkeypatch, history="scd2", keep="latest by at")
    assert ingest._as_read("events", context(False)).history == "scd2"
    with pytest.raises(ConfigurationError, match="rebuild would lose the versions of rows"):
        ingest._as_read("events", context(True))


def test_of_a_partitioned_dataset_all_periods_are_read() -> None:
    flights = catalog.contract("flights")
    assert ingest._periods(flights, context(True)) == ["2013-01", "2013-02", "2013-03"]
    assert ingest._periods(flights, context(False)) == ["2013-02"]


def test_a_watermark_begins_anew() -> None:
    planes = catalog.contract("planes")
    assert planes.load == "watermark"
    assert ingest._watermark(planes, context(True)) is None


def test_publish_replaces_the_whole_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MILLSTREAM_LAKE_ROOT", f"file://{tmp_path}/lake")
    publish: Any = DagBag(str(CHECKOUT / "dags")).dags["ingest_flights"].get_task("publish")
    monkeypatch.setattr(publish, "arguments", {"table": "silver.flights", "partitions": ["2013-01"]})
    usual = publish.job_arguments(context(False))
    assert (usual["load"], usual["partitions"], usual.get("rebuild")) == ("partition", ["2013-01"], None)
    anew = publish.job_arguments(context(True))
    assert (anew["load"], anew["partitions"], anew["rebuild"]) == ("full", [], True)
    assert anew["partition_column"] == "month"
