"""Checks that hold for every project, which its own tests import. They need no Spark session and no stack."""

from __future__ import annotations

from pathlib import Path

from millstream.settings import Settings
from millstream_airflow import catalog

__all__ = [
    "test_every_dag_loads",
    "test_every_dataset_and_mart_has_a_dag",
    "test_every_file_belongs_to_a_table",
    "test_every_suite_can_be_read",
]


def test_every_dag_loads() -> None:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(catalog.dags_folder()))
    assert bag.import_errors == {}
    assert set(bag.dags) == _stems("dags", "*.py")


def test_every_dataset_and_mart_has_a_dag() -> None:
    declared = {f"ingest_{name}" for name in catalog.datasets()}
    declared |= {f"mart_{name}" for name in _stems("marts", "*.sql")}
    files = _stems("dags", "*.py")
    assert declared <= files
    assert {name for name in files if name.startswith(("ingest_", "mart_"))} == declared


def test_every_file_belongs_to_a_table() -> None:
    tables = {table.partition(".")[2] for table in catalog.published_tables()}
    assert _stems("expectations", "*.json") <= tables
    assert _stems("transforms", "*.py") <= tables


def test_every_suite_can_be_read() -> None:
    from millstream.quality.suite import Suite

    for table in catalog.published_tables():
        Suite.from_dict(catalog.suite(table.partition(".")[2]))


def _stems(folder: str, pattern: str) -> set[str]:
    place: Path = Settings().project / folder
    return {path.stem for path in place.glob(pattern)}
