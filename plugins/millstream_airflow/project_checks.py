"""Checks that hold for every project, which its own tests import: that its DAGs load and keep the policy of
all, and that its files belong together. They need no Spark session and no stack."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from millstream.errors import PermanentError, TransientError
from millstream.settings import Settings
from millstream_airflow import catalog

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.sdk import DAG

__all__ = [
    "test_every_dag_loads",
    "test_every_dag_says_what_it_is_and_whose",
    "test_every_dag_tells_when_it_fails",
    "test_every_dataset_and_mart_has_a_dag",
    "test_every_file_belongs_to_a_table",
    "test_every_param_has_a_type_and_a_description",
    "test_every_suite_can_be_read",
    "test_every_task_tries_again_only_what_may_pass",
    "test_no_dag_bounds_the_logical_dates_of_its_tasks",
    "test_what_publishes_is_behind_a_gate",
]


def test_every_dag_loads() -> None:
    bag = _bag(catalog.dags_folder())
    assert bag.import_errors == {}
    assert set(bag.dags) == _stems("dags", "*.py")


def test_every_dag_says_what_it_is_and_whose() -> None:
    for dag in _dags():
        assert dag.description, dag.dag_id
        assert dag.doc_md, dag.dag_id
        assert dag.tags, dag.dag_id
        assert dag.dagrun_timeout is not None, dag.dag_id
        assert dag.max_active_runs == 1, dag.dag_id
        assert not dag.catchup, dag.dag_id
        for task in dag.tasks:
            assert task.owner != "airflow", f"{dag.dag_id}.{task.task_id}"


def test_every_param_has_a_type_and_a_description() -> None:
    for dag in _dags():
        for name in dag.params:
            param = dag.params.get_param(name)
            assert param.schema.get("type"), f"{dag.dag_id}: {name}"
            assert param.description, f"{dag.dag_id}: {name}"


def test_every_task_tries_again_only_what_may_pass() -> None:
    for dag in _dags():
        for task in dag.tasks:
            policy = task.retry_policy
            assert policy is not None, f"{dag.dag_id}.{task.task_id}"
            assert task.retries, f"{dag.dag_id}.{task.task_id}"
            assert policy.evaluate(PermanentError("x"), 1, 3).action.value == "fail"
            assert policy.evaluate(TransientError("x"), 1, 3).action.value == "retry"


def test_no_dag_bounds_the_logical_dates_of_its_tasks() -> None:
    """Airflow makes no task outside of them, also in a run by hand, which then succeeds without doing
    anything. The time that a source covers bounds the timetable."""
    for dag in _dags():
        assert (dag.start_date, dag.end_date) == (None, None), dag.dag_id
        for task in dag.tasks:
            assert (task.start_date, task.end_date) == (None, None), f"{dag.dag_id}.{task.task_id}"


def test_every_dag_tells_when_it_fails() -> None:
    for dag in _dags():
        assert dag.has_on_failure_callback, dag.dag_id


def test_what_publishes_is_behind_a_gate() -> None:
    for dag in _dags():
        for task in dag.tasks:
            if not task.task_id.endswith("publish"):
                continue
            gate = task.task_id.replace("publish", "quality_gate")
            assert gate in task.upstream_task_ids, f"{dag.dag_id}.{task.task_id}"
            assert task.trigger_rule == "all_success", f"{dag.dag_id}.{task.task_id}"
            assert task.outlets, f"{dag.dag_id}.{task.task_id}"


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


@cache
def _bag(folder: Path) -> DagBag:
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(str(folder))


def _dags() -> list[DAG]:
    return list(_bag(catalog.dags_folder()).dags.values())


def _stems(folder: str, pattern: str) -> set[str]:
    place: Path = Settings().project / folder
    return {path.stem for path in place.glob(pattern)}
