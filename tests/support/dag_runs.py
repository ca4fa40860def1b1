"""Runs of DAGs on the cluster, followed to their end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from millstream_stack.clients.airflow_api import AirflowApi, Task
from tests.support.waiting import until

RUN_TIMEOUT_S = 900.0
REST_TIMEOUT_S = 1200.0


@dataclass(frozen=True)
class Begun:
    """A run, and a moment before it."""

    key: tuple[str, str]
    moment: datetime


def begin(airflow: AirflowApi, dag: str, conf: dict[str, str]) -> Begun:
    """Triggers a DAG."""
    moment = datetime.now(UTC)
    airflow.unpause(dag)
    return Begun(airflow.trigger(dag, conf).key, moment)


def tasks_of(airflow: AirflowApi, begun: Begun) -> list[Task]:
    return [task for task in airflow.tasks_since(begun.moment) if (task.dag_id, task.run_id) == begun.key]


def run(airflow: AirflowApi, dag: str, conf: dict[str, str]) -> list[Task]:
    """Triggers a DAG, follows it to its successful end, and returns its tasks."""
    return followed(airflow, begin(airflow, dag, conf))


def followed(airflow: AirflowApi, begun: Begun) -> list[Task]:
    """The tasks of a run that has come to its successful end."""
    key, moment = begun.key, begun.moment

    def ended() -> bool:
        return any(one.key == key and not one.active for one in airflow.runs_since(moment))

    until(ended, RUN_TIMEOUT_S, f"the end of {key[0]}")
    tasks = tasks_of(airflow, begun)
    failed = [f"{task.label}: {airflow.log(task)[-12:]}" for task in tasks if task.state == "failed"]
    states = {one.key: one.state for one in airflow.runs_since(moment)}
    assert states[key] == "success", "\n".join(failed)
    return tasks


def at_rest(airflow: AirflowApi) -> None:
    """Waits for the end of all runs, those started by events of earlier tests among them."""
    until(lambda: not airflow.active_runs(), REST_TIMEOUT_S, "the end of all runs")
