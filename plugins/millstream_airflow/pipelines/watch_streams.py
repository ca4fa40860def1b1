"""The DAG that watches the streams, and judges the days of flights whose events have all come."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, Param, task
from airflow.sdk.exceptions import AirflowSkipException

from millstream_airflow import catalog
from millstream_airflow.schedules import at_next
from millstream_airflow.tasks.alerts import RunNotifier
from millstream_airflow.tasks.publish import GateOperator, StagingOperator, field
from millstream_airflow.tasks.retries import TASK_ARGS
from millstream_airflow.tasks.watch_stream import WatchStreamOperator

STREAM, TABLE = "flight_events", "silver.flights"
# The next run begins at midnight, and this one has something to do after it.
MINUTES = 23 * 60
DOC = """
### Watch the streams

A run a day, which waits without a slot. An alert is sent as soon as a stream has stopped, or silver lacks
what the topic had `deadline_minutes` ago (the stream's contract): because it lags, waits for the broker, is
drained, or its process is gone; and as soon as what sends the stream's alerts has stopped, or has not run
for as long. The task then goes on, and fails if that is so at the end.

After `minutes` the days of flights whose events have all come, three days behind the newest, are folded
into rows of `silver.flights` and judged by the suite of that table. Nothing of them is published. If they
pass, an event of the asset `silver.flight_events` is made, and `compare_views` compares these days with the
monthly files.
"""


def watch_dag() -> DAG:
    """The DAG `watch_streams`."""
    with DAG(
        dag_id="watch_streams",
        description="Alert when a stream stops or lags; judge its closed days",
        doc_md=DOC,
        schedule=at_next("0 0 * * *"),
        catchup=False,
        max_active_runs=1,
        tags=["streams", "operations"],
        params={
            "minutes": Param(
                MINUTES, type="number", minimum=0.1, maximum=MINUTES, description="How long it watches."
            )
        },
        dagrun_timeout=timedelta(hours=23, minutes=55),
        default_args={"owner": "data-platform", **TASK_ARGS},
        on_failure_callback=RunNotifier(),
    ) as dag:
        for stream in catalog.streams():
            watch = WatchStreamOperator(
                task_id=f"watch_{stream}",
                stream=stream,
                minutes="{{ params.minutes }}",
                doc_md="Waits without a slot, and sends an alert when the stream gets into trouble.",
            )
            if catalog.sends_alerts(stream):
                WatchStreamOperator(
                    task_id=f"watch_{stream}_alerts",
                    stream=stream,
                    minutes="{{ params.minutes }}",
                    alerts=True,
                    doc_md="Waits without a slot, and sends an alert when nothing sends the stream's alerts.",
                )
            if stream == STREAM:
                days = closed_days()
                watch >> days
                _judge(days)
    return dag


def _judge(days: Any) -> None:
    folded = StagingOperator(
        task_id="fold",
        job="fold_days",
        arguments={"first_day": days["first_day"], "last_day": days["last_day"]},
        doc_md="The events of these days as rows of `silver.flights`, staged once.",
    )
    gate = GateOperator(
        task_id="quality_gate",
        suite="flights",
        arguments={
            "table": TABLE,
            "staged_uri": field(folded.output, "staged_uri"),
            "staged_version": field(folded.output, "staged_version"),
            "inputs": field(folded.output, "inputs"),
            "parameters": field(folded.output, "parameters"),
            "data_docs": True,
        },
        doc_md="Judges the closed days by `expectations/flights.json`. Fails closed; nothing is published.",
    )
    compare = TriggerDagRunOperator(
        task_id="compare",
        trigger_dag_id="compare_views",
        conf={
            "first_day": "{{ ti.xcom_pull(task_ids='fold', key='first_day') }}",
            "last_day": "{{ ti.xcom_pull(task_ids='fold', key='last_day') }}",
        },
        doc_md="Starts `compare_views` for these days, which sends alerts of its own.",
    )
    noted = note_judged(field(folded.output, "last_day"), field(folded.output, "inputs"))
    folded >> gate >> noted >> compare


@task(doc_md="The days that are closed and not judged yet; skips the rest where there is none.")
def closed_days() -> dict[str, str | None]:
    from millstream.streams import snapshot, watching

    root = catalog.lake_root()
    seen, before = snapshot.read(root, STREAM), watching.judged_until(root, STREAM)
    last = watching.closed_day(seen) if seen is not None else None
    if last is None or (before is not None and last <= before):
        raise AirflowSkipException(f"no day has been closed since {before}: the newest is {last}")
    first = None if before is None else str(before + timedelta(days=1))
    return {"first_day": first, "last_day": str(last)}


@task(
    outlets=[catalog.table_asset(f"silver.{STREAM}")],
    doc_md="The gate let these days pass: makes the asset's event, and the next run goes on behind them.",
)
def note_judged(last_day: Any, inputs: Any, outlet_events: Any = None) -> None:
    from millstream.streams import watching

    watching.note_judged(catalog.lake_root(), STREAM, date.fromisoformat(last_day))
    outlet_events[catalog.table_asset(f"silver.{STREAM}")].extra = {
        "version": inputs[f"silver.{STREAM}"],
        "judged_until": last_day,
    }
