"""A task of its own process that submits a job: `submitted_load.py DATASET RUN`, with AIRFLOW_CONN_SUBMITTED.

It loads bronze in a classic Spark session.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from millstream_airflow.tasks.spark_job import SparkJobOperator

if __name__ == "__main__":
    dataset, run = sys.argv[1:]
    ti = SimpleNamespace(
        dag_id="d", run_id=run, task_id="t", map_index=-1, try_number=1,
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    context: Any = {"dag_run": SimpleNamespace(run_id=run), "ti": ti}
    operator = SparkJobOperator(task_id="t", job="load_bronze", dataset=dataset, conn_id="submitted")
    operator.execute(context)
