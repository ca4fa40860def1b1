"""What every DAG must have, and what parsing one may cost."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG

from millstream.errors import TransientError
from millstream.marts import marts
from millstream.models import models
from millstream.settings import CHECKOUT
from millstream_airflow import catalog
from millstream_airflow.pipelines.maintain import LEAST_HOURS
from millstream_airflow.project_checks import (
    test_every_dag_says_what_it_is_and_whose,
    test_every_dag_tells_when_it_fails,
    test_every_param_has_a_type_and_a_description,
    test_every_task_tries_again_only_what_may_pass,
    test_no_dag_bounds_the_logical_dates_of_its_tasks,
    test_what_publishes_is_behind_a_gate,
)
from millstream_airflow.tasks.retries import RETRY_POLICY, TASK_ARGS
from millstream_stack.services.airflow_setup import POOLS

DATASETS = {path.stem for path in (CHECKOUT / "dags" / "datasets").glob("*.yaml")}
SPARK_OPERATORS = {
    "SparkJobOperator",
    "StagingOperator",
    "MartOperator",
    "GateOperator",
    "PublishOperator",
    "RegisterOperator",
    "MaintainOperator",
    "MapReduceOperator",
}
# Of every project, and so of this one.
__all__ = [
    "test_every_dag_says_what_it_is_and_whose",
    "test_every_dag_tells_when_it_fails",
    "test_every_param_has_a_type_and_a_description",
    "test_every_task_tries_again_only_what_may_pass",
    "test_no_dag_bounds_the_logical_dates_of_its_tasks",
    "test_what_publishes_is_behind_a_gate",
]
# What must be there beside what is declared: of lakes, not of one table.
OPERATIONS = {"maintain_lake", "reconcile", "replay_quarantine"}


@pytest.fixture(scope="module")
def bag() -> DagBag:
    return DagBag(str(CHECKOUT / "dags"))


@pytest.fixture(scope="module")
def dags(bag: DagBag) -> list[DAG]:
    return list(bag.dags.values())


def test_all_dags_are_found_and_none_is_broken(bag: DagBag) -> None:
    assert bag.import_errors == {}
    files = {path.stem for path in (CHECKOUT / "dags").glob("*.py")}
    assert set(bag.dags) == files
    declared = {f"ingest_{dataset}" for dataset in DATASETS}
    declared |= {f"{verb}_{model}" for model in models() for verb in ("train", "score")}
    declared |= {f"mart_{name}" for name in marts(CHECKOUT)}
    assert files >= declared | OPERATIONS


def test_spark_tasks_wait_in_a_pool_that_the_stack_creates(dags: list[DAG]) -> None:
    created = {name for name, _, _ in POOLS} - {"default_pool"}
    jobs = [task for dag in dags for task in dag.tasks if getattr(task, "task_type", "") in SPARK_OPERATORS]
    assert len(jobs) > len(dags)
    assert {task.pool for task in jobs} == created


def test_an_exception_that_nobody_knows_is_tried_again_with_its_text() -> None:
    def told(error: BaseException) -> str | None:
        try:
            raise error
        except BaseException as caught:
            return RETRY_POLICY.evaluate(caught, 1, 2).reason

    assert told(KeyError("seats")) == "Not known whether another try helps: KeyError: 'seats'"
    without = told(AssertionError())
    assert without is not None
    assert re.search(r": AssertionError without a text in told, test_dag_policy\.py:\d+$", without)
    assert len(told(ValueError("x" * 9000)) or "") <= 500
    assert RETRY_POLICY.evaluate(ValueError("x"), 1, 2).action.value == "retry"


def test_a_server_may_be_away_for_minutes_and_a_cleared_task_has_all_retries_again() -> None:
    def delays(error: Exception, first: int, most: int) -> list[float | None]:
        decisions = (RETRY_POLICY.evaluate(error, number, most) for number in range(first, most + 1))
        return [
            one.retry_delay.total_seconds() if one.retry_delay else None
            for one in decisions
            if one.action.value == "retry"
        ]

    retries = TASK_ARGS["retries"]
    assert delays(TransientError("x"), 1, retries) == [20, 60, 180]
    # Cleared after its last try, a task may be tried as often as at first.
    assert delays(TransientError("x"), retries + 2, 2 * retries + 1) == [20, 60, 180]
    assert delays(ValueError("x"), 1, retries) == [20, 60]
    assert RETRY_POLICY.evaluate(ValueError("x"), retries, retries).action.value == "fail"


def test_each_table_is_published_by_one_dag(dags: list[DAG]) -> None:
    publishing = [task for dag in dags for task in dag.tasks if task.task_id.endswith("publish")]
    # One DAG a table, and the replay for all of datasets.
    assert len({task.dag.dag_id for task in publishing}) == len(publishing)
    assert len(publishing) == len(catalog.published_tables()) + 1


def test_every_published_table_is_reconciled(bag: DagBag, dags: list[DAG]) -> None:
    published = {
        asset.name
        for dag in dags
        for task in dag.tasks
        if task.task_id == "publish"
        for asset in task.outlets
    }
    compared = {asset.name for asset in bag.dags["reconcile"].get_task("compare").inlets}
    assert compared == published


def test_no_run_lasts_as_long_as_what_it_reads_is_kept(dags: list[DAG]) -> None:
    for dag in dags:
        assert dag.dagrun_timeout < timedelta(hours=LEAST_HOURS), dag.dag_id


def test_every_file_belongs_to_a_table_that_a_dag_publishes() -> None:
    tables = {table.partition(".")[2] for table in catalog.published_tables()}
    library = CHECKOUT / "spark_jobs" / "millstream" / "transforms"
    # One that declares no table makes columns for another.
    transforms = {path.stem for path in library.glob("*.py") if "\nSCHEMA" in path.read_text("utf-8")}
    streams = {path.stem for path in (CHECKOUT / "dags" / "streams").glob("*.yaml")}
    suites = {path.stem for path in (CHECKOUT / "expectations").glob("*.json")}
    files = {path.stem for path in (CHECKOUT / "dags").glob("ingest_*.py")}
    assert transforms <= tables | streams
    assert suites <= tables | streams
    assert files == {f"ingest_{dataset}" for dataset in DATASETS}


HEAVY = {"pyspark", "pandas", "numpy", "great_expectations", "mlflow"}
PARSE = """
import json, runpy, sys
brought = {}
for path in sys.argv[1:]:
    before = set(sys.modules)
    runpy.run_path(path)
    brought[path] = sorted(set(sys.modules) - before)
print(json.dumps(brought))
"""


def test_parsing_imports_nothing_heavy() -> None:
    """One process for all: what each file has brought is told of the first that brings it."""
    files = sorted(map(str, (CHECKOUT / "dags").glob("*.py")))
    done = subprocess.run([sys.executable, "-c", PARSE, *files], capture_output=True, text=True, check=True)
    brought = json.loads(done.stdout.splitlines()[-1])
    assert list(brought) == files
    heavy = {path: HEAVY.intersection(modules) for path, modules in brought.items()}
    assert not any(heavy.values()), heavy


@pytest.fixture
def two_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of DAGs with airlines and airports."""
    folder = tmp_path / "dags"
    (folder / "datasets").mkdir(parents=True)
    for name in ("airlines", "airports"):
        for part in (f"ingest_{name}.py", f"datasets/{name}.yaml"):
            (folder / part).write_text((CHECKOUT / "dags" / part).read_text())
    monkeypatch.setenv("MILLSTREAM_ROOT", str(tmp_path))
    return folder


def test_a_wrong_contract_hides_no_other_dataset(two_datasets: Path) -> None:
    contract = two_datasets / "datasets" / "airlines.yaml"
    contract.write_text(contract.read_text() + "load: sometimes\n")

    bag = DagBag(str(two_datasets))
    assert set(bag.dags) == {"ingest_airports"}
    (error,) = bag.import_errors.values()
    loads = "'full', 'partition', 'watermark' or 'append'"
    assert f"airlines.yaml: load: Input should be {loads}, found 'sometimes'" in error


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("from airflow.sdk import DAG\ndef broken(:\n", "SyntaxError: invalid syntax"),
        ("from airflow.sdk import DAG\nimport not_there\n", "No module named 'not_there'"),
        ("from airflow.sdk import DAG\nDAG(1 / 0)\n", "ZeroDivisionError: division by zero"),
        ("from airflow.sdk import DAG\nraise SystemExit(1)\n", "SystemExit"),
        # Airflow skips a file that names neither `dag` nor `airflow`, so this one does.
        ("# A dag of airflow's\nb = '\udcff'\n", "utf-8"),
    ],
)
def test_a_broken_dag_file_hides_no_other(two_datasets: Path, code: str, told: str) -> None:
    broken = two_datasets / "ingest_airlines.py"
    broken.write_bytes(code.encode("utf-8", "surrogateescape"))

    bag = DagBag(str(two_datasets))
    assert set(bag.dags) == {"ingest_airports"}
    ((path, error),) = bag.import_errors.items()
    assert path.endswith(broken.name)
    assert told in error
