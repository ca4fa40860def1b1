"""The DAG that compares landing, tables, ledger and Airflow's asset events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import DAG, AssetAlias, get_current_context, task

from millstream.errors import MillstreamError, ReconciliationError
from millstream_airflow import catalog
from millstream_airflow.schedules import at_next
from millstream_airflow.tasks.alerts import RunNotifier
from millstream_airflow.tasks.notes import leave_note
from millstream_airflow.tasks.retries import TASK_ARGS
from millstream_airflow.tasks.spark_job import SparkJobOperator

if TYPE_CHECKING:
    from millstream.upkeep.reconcile import Difference

# Assets as outlets would emit an event of every table every day; an alias emits only the lost ones.
REPAIRED = AssetAlias("millstream.repaired")

DOC = """
### Reconcile

Compares landed files with their manifests, manifests with what was published, accounts with their sums and
with the tables' rows, and published versions with Airflow's asset events. `make reconcile` does the same.
Tables of databases that are loaded by watermark are compared with their sources besides: by ranges of the
key, how many rows should have been read and how many were.

- `compare` says each difference in its log, and tells again of a table whose newest version has no event.
- `report` fails when a difference needs a person.
- `rebuild_ledger` brings `ops.ledger` up to date.
"""


def reconcile_dag() -> DAG:
    """The DAG `reconcile`, over every table that a DAG publishes."""
    tables = catalog.published_tables()
    with DAG(
        dag_id="reconcile",
        description="Compare sources, landing, tables, ledger and asset events; repair lost events",
        doc_md=DOC,
        schedule=at_next("0 5 * * *"),
        catchup=False,
        max_active_runs=1,
        tags=["operations"],
        dagrun_timeout=timedelta(hours=1),
        default_args={"owner": "data-platform", **TASK_ARGS},
        on_failure_callback=RunNotifier(),
    ) as dag:
        compared = compare.override(
            inlets=[catalog.table_asset(table) for table in tables], outlets=[REPAIRED]
        )(tables)
        report(compared)  # type: ignore[arg-type]
        SparkJobOperator(
            task_id="rebuild_ledger",
            job="rebuild_ledger",
            doc_md="One line for each run, table and partition, from the tables' histories.",
        )
    return dag


@task(doc_md="Logs every difference; repairs a lost event of a table's newest version.")
def compare(tables: list[str]) -> list[dict[str, Any]]:
    import logging

    from millstream.upkeep import reconcile

    context = get_current_context()
    events = {
        table: [
            reconcile.Event.of(event.extra, event.source_run_id)
            for event in context["inlet_events"][catalog.table_asset(table)]
        ]
        for table in tables
    }
    differences = reconcile.compare(catalog.lake_root(), deadlines(), events, datetime.now(UTC))
    differences += [difference for dataset in catalog.datasets() for difference in against_source(dataset)]
    for difference in differences:
        logging.getLogger(__name__).info("%s [%s]", difference, difference.remedy)
        if difference.remedy == "event":
            context["outlet_events"][REPAIRED].add(
                catalog.table_asset(difference.subject), difference.extra or {}
            )
    leave_note(context, [f"{len(differences):,} differences", *map(str, differences)])
    return [difference.model_dump(mode="json") for difference in differences]


@task(doc_md="Fails when a difference needs a person.")
def report(differences: list[dict[str, Any]]) -> int:
    open_ones = [difference for difference in differences if difference["remedy"] == "person"]
    if open_ones:
        lines = "\n".join(f"- {difference['subject']}: {difference['text']}" for difference in open_ones)
        raise ReconciliationError(f"{len(open_ones)} differences need a person:\n{lines}")
    return len(differences)


def against_source(dataset: str) -> list[Difference]:
    """Rows of a dataset's source that should have been read and were not. A source that does not answer is
    only logged, because its ingest fails for that."""
    from millstream.sources import Counting
    from millstream.upkeep.reconcile import Difference
    from millstream.upkeep.reconcile_source import compare_with_source
    from millstream_airflow.connections import extractor_for

    contract = catalog.contract(dataset)
    if not contract.source.can_count or contract.load != "watermark":
        return []
    try:
        extractor = cast(Counting, extractor_for(contract))
        return compare_with_source(contract, extractor, catalog.lake_root())
    except MillstreamError as error:
        text = f"not compared with its source: {error}"
        return [Difference(subject=f"silver.{dataset}", text=text, remedy="none")]


def deadlines() -> dict[str, timedelta]:
    """For each dataset how long a run may take."""
    return {
        dataset: timedelta(minutes=catalog.contract(dataset).deadline_minutes)
        for dataset in catalog.datasets()
    }
