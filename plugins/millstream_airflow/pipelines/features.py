"""The DAG that rebuilds a gold features table when any of the tables it is made from changes.

Spark makes the rows, or a MapReduce job does: then Spark exports the inputs as text before, and stages what
the job has written.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, AssetAny, AssetOrTimeSchedule, Param, get_current_context, task

from millstream.features import FeatureTable, feature_table
from millstream.lake.tables import TableRef
from millstream_airflow import catalog
from millstream_airflow.schedules import at_next
from millstream_airflow.tasks.alerts import RunNotifier
from millstream_airflow.tasks.mapreduce import MapReduceOperator
from millstream_airflow.tasks.notes import skip
from millstream_airflow.tasks.publish import StagingOperator, field, publish_staged
from millstream_airflow.tasks.retries import TASK_ARGS
from millstream_airflow.tasks.spark_job import SparkJobOperator

DOC = """
### {table}

Made from {inputs}, each read at one pinned version.

{when}
Nothing is done when the table was already made from the present versions by the present code, or when one of
them has never been published.
"""


BY_ANY = """\
Any of {triggers} triggers this DAG, because some change rarely: waiting for all of them would wait for
ever."""
BY_NIGHT = """\
A stream writes {triggers}, and tells Airflow of no commit: this DAG runs at night, and when somebody makes an
event of that asset. Each row has the position of the stream whose events it is of, in `{position}`."""
NIGHTLY = "0 2 * * *"


def features_dag(dag_id: str, name: str) -> DAG:
    """The DAG `dag_id` that makes the feature table `name` as `millstream.features` declares it."""
    declared = feature_table(name)
    table, inputs = str(declared.table), declared.inputs
    with DAG(
        dag_id=dag_id,
        description=f"Rebuild {table} when one of its inputs changes",
        doc_md=DOC.format(table=table, inputs=_quoted(inputs), when=_when(declared)),
        schedule=_schedule(declared),
        catchup=False,
        max_active_runs=1,
        tags=["features", "gold"],
        params={"force": Param(False, type="boolean", description="Rebuild even when no input has changed.")},
        dagrun_timeout=timedelta(hours=1),
        default_args={"owner": "data-platform", **TASK_ARGS},
        on_failure_callback=RunNotifier(),
    ) as dag:
        read = [catalog.table_asset(name) for name in inputs]
        versions = changed_inputs.override(inlets=read)(table, list(inputs))
        if declared.mapreduce is not None:
            build = _by_mapreduce(table, declared.mapreduce.job, versions)
        else:
            build = StagingOperator(
                task_id="build",
                job="build_features",
                arguments={"table": table, "inputs": versions},
                doc_md="A pure function of the pinned input versions, staged once.",
            )
        publish_staged(
            table,
            build,
            catalog.table_asset(table),
            arguments={"load": "full", "partition_column": declared.partition_column},
        )
    return dag


def _schedule(declared: FeatureTable) -> AssetAny | AssetOrTimeSchedule:
    assets = AssetAny(*(catalog.table_asset(name) for name in declared.triggers))
    if declared.position_column is None:
        return assets
    return AssetOrTimeSchedule(timetable=at_next(NIGHTLY), assets=assets)


def _when(declared: FeatureTable) -> str:
    said = BY_ANY if declared.position_column is None else BY_NIGHT
    return said.format(triggers=_quoted(declared.triggers), position=declared.position_column)


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _by_mapreduce(table: str, job: str, versions: Any) -> StagingOperator:
    """Tasks that stage `table` as the MapReduce job makes it."""
    export = SparkJobOperator(
        task_id="export",
        job="export_text",
        arguments={"table": table, "inputs": versions},
        doc_md="The pinned input versions as text files, a line a row.",
    )
    run = MapReduceOperator(
        task_id="mapreduce",
        job=job,
        doc_md=f"Hadoop runs `spark_jobs/mapreduce/{job}.py` over these files; its counters are in the log.",
    )
    build = StagingOperator(
        task_id="build",
        job="stage_text",
        arguments={
            "table": table,
            "inputs": field(export.output, "inputs"),
            "lines": field(export.output, "rows"),
        },
        doc_md="What the job has written, staged once. Each exported line must be counted in it.",
    )
    export >> run >> build
    return build


@task(doc_md="Present versions of the inputs; skips the run when there is nothing to do.")
def changed_inputs(table: str, inputs: list[str], code_version: str | None = None) -> dict[str, int]:
    """`code_version` is that of what makes the table's rows, by default of the checkout."""
    from millstream.lake import history
    from millstream.lake.accounts import newest

    root = catalog.lake_root()
    read = {name: history.read(TableRef.parse(name), root) for name in inputs}
    versions = {name: input_history.published_version for name, input_history in read.items()}
    absent = [name for name, version in versions.items() if version is None]
    if absent:
        skip(f"not published yet: {', '.join(absent)}")
    latest = newest(history.read(TableRef.parse(table), root).latest_by_partition())
    made = (
        latest is not None
        and latest.code_version == (code_version or catalog.code_version())
        and all(
            input_history.unchanged_since(latest.inputs.get(name)) for name, input_history in read.items()
        )
    )
    if made and not get_current_context()["params"]["force"]:
        skip(f"{table} was already made from these rows by this code: {versions}")
    return {name: version for name, version in versions.items() if version is not None}
