"""The DAG that compares the views of delays with each other, with MapReduce, and with the monthly files."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param, task

from millstream_airflow import catalog
from millstream_airflow.schedules import at_next
from millstream_airflow.tasks.alerts import RunNotifier
from millstream_airflow.tasks.mapreduce import MapReduceOperator
from millstream_airflow.tasks.notes import skip
from millstream_airflow.tasks.publish import field
from millstream_airflow.tasks.retries import TASK_ARGS
from millstream_airflow.tasks.spark_job import SparkJobOperator

JOB = "airport_delays"
DOC = """
### Compare the views of delays

As of one position of the stream: what is served of batch view and stream's view (Lambda), the stream's view
alone (Kappa), and what a MapReduce job in plain Python makes of the records as bronze has them. Every group
and every figure has to be the same, and so have the events behind them. The flights that the events make are
compared with `silver.flights`, which comes from monthly files: of the given days, or of all whose events have
come. (The first is left out: the stream may have begun in its midst.)

The run fails where anything differs, and names groups, events and flights. Without a stream it is skipped.
"""
DAY: dict[str, Any] = {"type": ["string", "null"], "format": "date"}


def compare_dag() -> DAG:
    """The DAG `compare_views`."""
    with DAG(
        dag_id="compare_views",
        description="Compare the views of delays: Lambda, Kappa, MapReduce and the monthly files",
        doc_md=DOC,
        # Behind the nightly batch view.
        schedule=at_next("0 3 * * *"),
        catchup=False,
        max_active_runs=1,
        tags=["streams", "operations"],
        params={
            "first_day": Param(None, **DAY, description="First day of flights; none: the second of all."),
            "last_day": Param(None, **DAY, description="Last day; none: the last with all its events."),
        },
        dagrun_timeout=timedelta(hours=2),
        default_args={"owner": "data-platform", **TASK_ARGS},
        on_failure_callback=RunNotifier(),
    ) as dag:
        export = SparkJobOperator(
            task_id="export",
            job="export_records",
            arguments={"pins": pin_versions()},
            doc_md="The records of the topic as bronze has them, as text.",
        )
        run = MapReduceOperator(
            task_id="mapreduce",
            job=JOB,
            doc_md=f"Hadoop runs `spark_jobs/mapreduce/{JOB}.py` over these files; counters are in the log.",
        )
        compared = SparkJobOperator(
            task_id="compare",
            job="compare_views",
            noted=True,
            arguments={
                "pins": field(export.output, "pins"),
                "first_day": "{{ params.first_day or '' }}",
                "last_day": "{{ params.last_day or '' }}",
            },
            doc_md="Keys and values; fails where they differ, and says where.",
        )
        export >> run >> compared
    return dag


@task(doc_md="Versions of one position; skips the run where no stream has made a view.")
def pin_versions() -> dict[str, Any]:
    from millstream.streams.pins import pin

    pins = pin(catalog.lake_root())
    if pins is None:
        skip("not published yet: a view kept up by a stream; make streams-up starts the stream")
    return pins.model_dump(mode="json")
