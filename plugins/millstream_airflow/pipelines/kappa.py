"""The DAG that rebuilds the live view of delays from raw records, and makes the new one the live one."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, Param, task

from millstream.settings import Settings
from millstream_airflow import catalog
from millstream_airflow.tasks.alerts import RunNotifier
from millstream_airflow.tasks.notes import skip
from millstream_airflow.tasks.retries import TASK_ARGS
from millstream_airflow.tasks.spark_job import SparkJobOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

STREAM = "flight_events"
DOC = """
### Replay the live view of delays

Kappa: the view is rebuilt beside the live one by the stream's own decoder, rules and aggregate, from the
records that bronze has archived, and from Kafka where bronze ends before the view. It is compared with the
live view as of the same position. Only if every group is the same it becomes the live one, and the stream
goes on with it. The old view stays in the lake as it was.
"""


class ReplayOperator(SparkJobOperator):
    """The job `kappa_replay`, with the stream's contract and suite as they are at each attempt."""

    def job_arguments(self, context: Context) -> dict[str, Any]:
        return {
            **super().job_arguments(context),
            "contract": catalog.stream(STREAM).model_dump(mode="json"),
            "suite": catalog.suite(STREAM),
            "servers": Settings().kafka_servers,
            "home": str(Settings().home),
            "code_version": catalog.code_version(),
        }


def kappa_dag() -> DAG:
    """The DAG `kappa_replay`."""
    with DAG(
        dag_id="kappa_replay",
        description="Rebuild the live view of delays from raw records, compare, and switch to it",
        doc_md=DOC,
        schedule=None,
        catchup=False,
        max_active_runs=1,
        tags=["streams", "operations"],
        params={
            "archived": Param(
                None,
                type=["integer", "null"],
                minimum=1,
                description="Version of bronze to take records from; Kafka has the rest. None: one with all.",
            ),
        },
        dagrun_timeout=timedelta(hours=6),
        default_args={"owner": "data-platform", **TASK_ARGS},
        on_failure_callback=RunNotifier(),
        render_template_as_native_obj=True,
    ) as dag:
        replay = ReplayOperator(
            task_id="replay",
            job="kappa_replay",
            noted=True,
            arguments={"archived": "{{ params.archived }}"},
            doc_md="Rebuilds, compares, switches; fails where groups differ, and names them.",
        )
        require_live_view() >> replay
    return dag


@task(doc_md="Skips the run where no stream has made a view.")
def require_live_view() -> str:
    """The live view's table."""
    from millstream.lake import history
    from millstream.streams.served import speed_view

    root = catalog.lake_root()
    live = speed_view(root)
    if history.version(live, root) is None:
        skip(f"not published yet: {live}; make streams-up starts the stream")
    return str(live)
