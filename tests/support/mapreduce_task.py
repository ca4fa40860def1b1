"""The task `mapreduce` of `build_route_statistics`, in this process or in one of its own."""

from __future__ import annotations

import signal
import sys
from types import SimpleNamespace
from typing import Any

from millstream_airflow.tasks.mapreduce import MapReduceOperator

JOB = "route_delay_statistics"
CONNECTION = ("AIRFLOW_CONN_MAPREDUCE_DEFAULT", '{"conn_type": "hadoop_local"}')


def operator_of() -> MapReduceOperator:
    return MapReduceOperator(task_id="mapreduce", job=JOB)


def mapreduce(run: str, number: int = 1) -> dict[str, dict[str, int]]:
    """The DAG's task `mapreduce` in this process, in the lake that the environment names."""
    return execute(operator_of(), run, number)


def execute(operator: MapReduceOperator, run: str, number: int) -> dict[str, dict[str, int]]:
    ti = SimpleNamespace(
        dag_id="build_route_statistics", run_id=run, task_id="mapreduce", map_index=-1, try_number=number
    )
    context: Any = {"dag_run": SimpleNamespace(run_id=run), "ti": ti}
    return operator.execute(context)


def main(run: str) -> None:
    """As a process of its own, which SIGTERM ends as Airflow's supervisor does it: `on_kill` first."""
    operator = operator_of()
    signal.signal(signal.SIGTERM, lambda *_: operator.on_kill())
    execute(operator, run, 1)


if __name__ == "__main__":
    main(sys.argv[1])
