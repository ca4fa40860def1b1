"""The tasks of `reconcile` and `maintain_lake`, on a lake of the test's own."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.api.datamodels._generated import AssetResponse
from airflow.sdk.execution_time.comms import AssetEventResult
from airflow.sdk.execution_time.context import OutletEventAccessors, set_current_context
from airflow.serialization.serialized_objects import DagSerialization

from millstream.contracts.contract import Contract
from millstream.errors import ReconciliationError, TrackingError
from millstream.settings import CHECKOUT
from millstream_airflow import catalog, registry
from millstream_airflow.pipelines.maintain import clean_up
from millstream_airflow.pipelines.reconcile import REPAIRED, compare, report
from tests.support.ledger_tables import publish, write
from tests.support.noted_task import NotedTask

TABLES = ["silver.flights", "silver.planes"]


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MILLSTREAM_HOME", str(tmp_path))
    monkeypatch.setenv("MILLSTREAM_LAKE_ROOT", f"file://{tmp_path}/lake")
    # The source of the planes, of which nothing has landed: tables are published by hand here.
    source = {"conn_type": "sqlite", "host": f"{tmp_path}/source.db"}
    monkeypatch.setenv("AIRFLOW_CONN_DEMO_SQL", json.dumps(source))
    return f"file://{tmp_path}/lake"


def event(table: str, version: int) -> AssetEventResult:
    asset = catalog.table_asset(table)
    return AssetEventResult(
        id=1,
        timestamp=datetime(2026, 1, 1, tzinfo=UTC),
        extra={"version": version, "changed": True},
        asset=AssetResponse(name=asset.name, uri=asset.uri, group=asset.group),
        created_dagruns=[],
        source_run_id="r1",
    )


def compared(**events: AssetEventResult) -> tuple[list[dict[str, Any]], list[tuple[str, Any]]]:
    """The differences, and what was told again: table and version."""
    inlets = {catalog.table_asset(table): [] for table in TABLES} | {
        catalog.table_asset(f"silver.{name}"): [one] for name, one in events.items()
    }
    outlets = OutletEventAccessors()
    task = NotedTask()
    context: Any = {"inlet_events": inlets, "outlet_events": outlets, "ti": task}
    with set_current_context(context):
        differences = compare.function(TABLES)
    assert task.lines[0] == f"{len(differences)} differences"
    assert [f"{one['subject']}: {one['text']}" for one in differences] == task.lines[1:]
    told = [(one.dest_asset_key.name, one.extra["version"]) for one in outlets[REPAIRED].asset_alias_events]
    return differences, told


def test_exactly_the_lost_events_are_told_again(lake: str) -> None:
    for table in TABLES:
        publish(lake, table, "r1", read=3)
    differences, told = compared(planes=event("silver.planes", 0))
    assert told == [("silver.flights", 0)]
    assert [found["remedy"] for found in differences] == ["event"]
    assert report.function(differences) == 1

    again, told = compared(planes=event("silver.planes", 0), flights=event("silver.flights", 0))
    assert (again, told) == ([], [])


def test_what_no_event_repairs_fails_the_run(lake: str) -> None:
    publish(lake, "silver.planes", "r1", read=3)
    write(lake, "silver.planes", 2)
    differences, told = compared(planes=event("silver.planes", 0))
    assert told == []
    with pytest.raises(ReconciliationError, match=r"need a person:\n- silver\.planes: version 1"):
        report.function(differences)


@pytest.mark.parametrize("name", ["reconcile", "maintain_lake"])
def test_the_first_run_waits_for_its_time(name: str) -> None:
    """A new stack has better things to do than to maintain an empty lake."""
    found = DagBag(str(CHECKOUT / "dags")).dags[name]
    dag = DagSerialization.from_dict(DagSerialization.to_dict(found))
    due = dag.next_dagrun_info(last_automated_run_info=None)
    assert due is not None
    assert due.run_after > datetime.now(UTC)


def test_params_reach_the_maintenance_job_as_numbers() -> None:
    task = DagBag(str(CHECKOUT / "dags")).dags["maintain_lake"].get_task("maintain_tables")
    params = {
        "retention_hours": 48,
        "target_file_mb": 64,
        "table_target_mb": {"silver.flights": 256},
        "dry_run": True,
    }
    assert task.render_template(task.arguments, {"params": params}) == params


def test_a_maintenance_task_that_is_cleared_asks_for_the_pins_again(
    lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its run is a week old, and nothing that other tasks have found then may count."""
    task = DagBag(str(CHECKOUT / "dags")).dags["maintain_lake"].get_task("maintain_tables")
    assert task.upstream_task_ids == set()
    context: Any = {"dag_run": SimpleNamespace(run_id="scheduled__1")}
    for pins in ({"gold.arrival_delay_features": [1]}, {"gold.arrival_delay_features": [1, 4]}):
        monkeypatch.setattr(registry, "pinned_versions", lambda found=pins: found)
        assert task.job_arguments(context)["pins"] == pins


def test_without_an_answer_from_mlflow_nothing_is_maintained(
    lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_answer() -> dict[str, list[int]]:
        raise TrackingError("MLflow does not answer")

    task = DagBag(str(CHECKOUT / "dags")).dags["maintain_lake"].get_task("maintain_tables")
    monkeypatch.setattr(registry, "pinned_versions", no_answer)
    monkeypatch.setenv("AIRFLOW_CONN_SPARK_CONNECT", "spark-connect://nowhere:1")
    with pytest.raises(TrackingError):
        task.execute({"dag_run": SimpleNamespace(run_id="scheduled__1")})


def test_clean_up_says_what_it_removed(lake: str, tmp_path: Path) -> None:
    staged = tmp_path / "lake" / "staging" / "silver.planes" / "r1" / "part.parquet"
    staged.parent.mkdir(parents=True)
    staged.write_bytes(b"12345")
    long_ago = (datetime.now(UTC) - timedelta(days=20)).timestamp()
    os.utime(staged, (long_ago, long_ago))
    submissions = tmp_path / "lake" / "submissions"
    submissions.mkdir()
    for name, hours in (("old.json", 25), ("young.json", 23)):
        (submissions / name).write_bytes(b"12345")
        moment = (datetime.now(UTC) - timedelta(hours=hours)).timestamp()
        os.utime(submissions / name, (moment, moment))
    params = {"staging_days": 14, "event_log_days": 30, "landing_days": 365, "dry_run": False}
    context: Any = {"params": params}
    with set_current_context(context):
        found = clean_up.function()
    assert found["staging"] == {"files": 1, "bytes": 5, "removed_files": 1, "removed_bytes": 5}
    assert not staged.exists()
    assert [one.name for one in submissions.iterdir()] == ["young.json"]
    for kind in ("landing", "unlanded"):
        assert {f"{kind}.{dataset}" for dataset in catalog.datasets()} < set(found)


def test_landed_files_that_are_no_tables_stay(lake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = {"kind": "files", "connection": "scans", "path": "*.pdf", "format": "binary"}
    scans = Contract.from_dict({"dataset": "scans", "source": source}, origin="scans.yaml")
    known = {"scans": scans, "planes": catalog.contract("planes")}
    monkeypatch.setattr(catalog, "datasets", lambda: list(known))
    monkeypatch.setattr(catalog, "contract", known.get)
    params = {"staging_days": 14, "event_log_days": 30, "landing_days": 1, "dry_run": False}
    context: Any = {"params": params}
    with set_current_context(context):
        found = clean_up.function()
    assert found.keys() & {"landing.scans", "landing.planes"} == {"landing.planes"}
    assert "unlanded.scans" in found


def test_what_never_landed_is_cleaned_up_although_landed_bytes_stay(lake: str, tmp_path: Path) -> None:
    orphan = tmp_path / "lake" / "landing" / "planes" / "0123456789ab-planes.csv"
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"12345")
    long_ago = (datetime.now(UTC) - timedelta(days=20)).timestamp()
    os.utime(orphan, (long_ago, long_ago))
    params = {"staging_days": 14, "event_log_days": 30, "landing_days": None, "dry_run": False}
    context: Any = {"params": params}
    with set_current_context(context):
        found = clean_up.function()
    assert found["unlanded.planes"] == {"files": 1, "bytes": 5, "removed_files": 1, "removed_bytes": 5}
    assert not orphan.exists()
