"""DAG runs triggered as a person would, and followed to their end."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from millstream_stack.clients.airflow_api import AirflowApi, Run, Task
from millstream_stack.commands.demo import follow

# The one that the form of `ingest_flights` comes with.
MONTH = "2013-12"
# Before every run.
EVER = datetime(2000, 1, 1, tzinfo=UTC)
# They need a year of flights; one month cannot be split by time.
NEEDS_A_YEAR = ("train_arrival_delay", "score_arrival_delay")


def carry(api: AirflowApi, *dags: str, conf: dict[str, Any] | None = None) -> tuple[list[Run], list[Task]]:
    """Trigger the DAGs as the web UI does and follow everything that comes of it."""
    moment = datetime.now(UTC)
    triggered = {api.trigger(dag, conf or {}).key for dag in dags}
    runs, tasks = follow(api, moment, triggered, lambda runs, tasks: None)
    failed = [(task.label, api.log(task)[-8:]) for task in tasks if task.state == "failed"]
    assert not failed
    assert [run.state for run in runs if run.key in triggered] == ["success"] * len(dags)
    return runs, tasks


def newest(api: AirflowApi, dag_id: str) -> tuple[Run, list[Task]]:
    """The DAG's newest run, which succeeded, and its tasks. A test that only looks at a run makes none."""
    found = [run for run in api.runs_since(EVER) if (run.dag_id, run.state) == (dag_id, "success")]
    if not found:
        found = [run for run in carry(api, dag_id)[0] if run.dag_id == dag_id]
    run = found[-1]
    return run, [task for task in api.tasks_since(EVER) if (task.dag_id, task.run_id) == run.key]
