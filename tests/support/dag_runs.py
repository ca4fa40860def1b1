"""Runs of DAGs on the cluster, followed to their end."""

from __future__ import annotations

from datetime import UTC, datetime

from millstream_stack.clients.airflow_api import AirflowApi, Task
from tests.support.waiting import until

RUN_TIMEOUT_S = 900.0
REST_TIMEOUT_S = 1200.0


def run(airflow: AirflowApi, dag: str, conf: dict[str, str]) -> list[Task]:
    """Triggers a DAG, follows it to its successful end, and returns its tasks."""
    moment = datetime.now(UTC)
    airflow.unpause(dag)
    key = airflow.trigger(dag, conf).key

    def ended() -> bool:
        return any(one.key == key and not one.active for one in airflow.runs_since(moment))

    until(ended, RUN_TIMEOUT_S, f"the end of {dag}")
    tasks = [task for task in airflow.tasks_since(moment) if (task.dag_id, task.run_id) == key]
    failed = [f"{task.label}: {airflow.log(task)[-12:]}" for task in tasks if task.state == "failed"]
    states = {one.key: one.state for one in airflow.runs_since(moment)}
    assert states[key] == "success", "\n".join(failed)
    return tasks


def at_rest(airflow: AirflowApi) -> None:
    """Waits for the end of all runs, those started by events of earlier tests among them."""
    until(lambda: not airflow.active_runs(), REST_TIMEOUT_S, "the end of all runs")
