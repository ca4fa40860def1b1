"""What every Spark task submits, against golden files; and that the job's own parser takes it.

After a wanted change: `stack/run pytest tests/dags --update-golden`, then read the difference.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from airflow.sdk.definitions._internal.expandinput import MappedArgument
from airflow.sdk.definitions.mappedoperator import MappedOperator
from airflow.sdk.definitions.xcom_arg import PlainXComArg, XComArg

from millstream import jobs
from millstream.settings import CHECKOUT, Settings
from millstream_airflow import registry
from millstream_airflow.tasks.spark_job import SparkJobOperator

GOLDEN = Path(__file__).with_name("golden")
CODE_VERSION = "abc1234"

PINS = {
    "offsets": {"topic": "flights", "topic_id": "first", "start": {"0": 0}, "end": {"0": 9}},
    **{"bronze": 3, "silver": 5, "view": "gold.airport_delays_speed", "speed": 2, "batch": 1, "flights": 4},
}
# What earlier tasks would hand over, by the name of the field.
FROM_EARLIER_TASKS: dict[str, Any] = {
    "staged_uri": "file:///lake/staging/silver.x/r1",
    "staged_version": 0,
    "rows": 10,
    "inputs": {"bronze.x": 3},
    # Of the code that staged, which may be another by the time of the publish.
    "code_version": "fed9876",
    # Of the SQL that staged, likewise.
    "mart": {"name": "by_airport", "head": {}, "sql": "SELECT origin FROM silver.flights"},
    "fetch_began": "2026-01-01T00:00:00Z",
    "drift": [{"kind": "added", "column": "wings", "policy": "evolve"}],
    # Of the replay's first dataset, which is not cut.
    "partitions": [],
    "partition_column": None,
    "rest": None,
    "watermark_high": None,
    "suite_parameters": {},
    "input_version": 4,
    "model_version": 1,
    "return_value": 4,
    "version": 2,
    "action": "accept",
    "decided_by": "ada",
    "decided_at": "2026-01-01 00:00:00+00:00",
    "note": "",
    "pins": PINS,
    "run": "manual__1.0",
    "replay": "manual__1",
    "source_run": "scheduled__1",
    "first_day": "2013-01-13",
    "last_day": "2013-01-15",
    "parameters": {"first_date": "2013-01-13", "last_date": "2013-01-15", "days": 3},
}
# What only a mapped task or a run knows.
RETURNED: dict[tuple[str, str], Any] = {
    ("changed_inputs", "return_value"): {"silver.flights": 2},
    ("fit_candidate", "return_value"): [{"candidate": "decision_tree"}],
    ("pin_versions", "return_value"): PINS,
}


def scope(dag: DAG) -> dict[str, Any]:
    """What a run of `dag` loads: a month, if it can be asked for one."""
    by_month = "start" in dag.params
    return {"load": "partition" if by_month else "full", "partitions": ["2013-01"] if by_month else []}


def rendered(value: Any) -> Any:
    """`value` with what earlier tasks hand over filled in, and templates left as they are."""
    if isinstance(value, PlainXComArg):
        if value.key in ("partitions", "load"):
            return scope(value.operator.dag)[value.key]
        returned = RETURNED.get((value.operator.task_id, value.key))
        return FROM_EARLIER_TASKS[value.key] if returned is None else returned
    if isinstance(value, MappedArgument):
        return FROM_EARLIER_TASKS[value._key]
    if isinstance(value, XComArg):
        raise AssertionError(f"an XComArg of a kind that this test does not know: {value}")
    if isinstance(value, dict):
        return {name: rendered(one) for name, one in value.items()}
    return value


def spark_tasks() -> dict[str, Any]:
    """Every Spark task of every DAG by its golden file's name; mapped ones as their first mapping."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MILLSTREAM_CODE_VERSION", CODE_VERSION)
        bag = DagBag(str(CHECKOUT / "dags"))
    assert bag.import_errors == {}
    found: dict[str, Any] = {}
    for dag in bag.dags.values():
        for task in dag.tasks:
            if isinstance(task, MappedOperator) and issubclass(task.operator_class, SparkJobOperator):
                mapped = {name: values[0] for name, values in task.expand_input.value.items()}
                plain = {**task.partial_kwargs, **mapped}
                names = ("job", "arguments", "more_arguments", "mlflow_conn_id")
                kept = {name: rendered(plain[name]) for name in names if name in plain}
                found[f"{dag.dag_id}.{task.task_id}"] = SparkJobOperator(task_id=task.task_id, **kept)
            elif isinstance(task, SparkJobOperator):
                found[f"{dag.dag_id}.{task.task_id}"] = task
    assert len(found) >= 30
    return found


TASKS = spark_tasks()


def submission(task: SparkJobOperator, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("MILLSTREAM_LAKE_ROOT", "file:///lake")
    monkeypatch.setenv("MILLSTREAM_CODE_VERSION", CODE_VERSION)
    monkeypatch.setattr(registry, "pinned_versions", lambda: {"silver.flights": [1]})
    for name in ("dataset", "suite", "arguments", "more_arguments"):
        monkeypatch.setattr(task, name, with_params(task, rendered(getattr(task, name))))
    context: Any = {
        "dag_run": SimpleNamespace(dag_id="own", run_id="manual__1"),
        "params": {"force": False},
        "ti": SimpleNamespace(start_date=datetime(2026, 1, 1, tzinfo=UTC)),
    }
    return {"job": task.job, "arguments": task.job_arguments(context)}


def with_params(task: SparkJobOperator, value: Any) -> Any:
    """`value` as a run with the DAG's own defaults would render it; for a param without one, its first."""
    if isinstance(value, dict):
        return {name: with_params(task, one) for name, one in value.items()}
    if not isinstance(value, str) or "{{ params." not in value:
        return value
    params = {name: task.dag.params.get_param(name) for name in task.dag.params}
    chosen = {
        name: one.schema["enum"][0] if "enum" in one.schema and not one.has_value else one.value
        for name, one in params.items()
    }
    return task.render_template(value, {"params": chosen})


def shown(found: dict[str, Any]) -> str:
    """As in the golden file: contract and suite by their names, this checkout and its Airflow as
    `<checkout>` and `<airflow>`."""
    arguments = dict(found["arguments"])
    for name, key in (("contract", "dataset"), ("suite", "name"), ("mart", "name")):
        if name in arguments:
            arguments[name] = f"<{arguments[name][key]}>"
    text = json.dumps({**found, "arguments": arguments}, indent=2, sort_keys=True) + "\n"
    return text.replace(str(CHECKOUT), "<checkout>").replace(Settings().airflow_url, "<airflow>")


@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_task_submits_what_its_golden_file_says_and_its_job_can_read_it(
    name: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    found = submission(TASKS[name], monkeypatch)
    path = GOLDEN / f"{name}.json"
    if request.config.getoption("--update-golden"):
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(shown(found))
    assert shown(found) == path.read_text()

    jobs.parse(found["job"], found["arguments"])


def test_no_golden_file_is_left_over() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(TASKS)
