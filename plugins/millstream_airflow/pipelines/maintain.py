"""The DAG that compacts tables and deletes old versions and leftovers of runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, Param, get_current_context, task

from millstream.settings import Settings
from millstream_airflow import catalog, registry
from millstream_airflow.schedules import at_next
from millstream_airflow.tasks.alerts import RunNotifier
from millstream_airflow.tasks.retries import TASK_ARGS
from millstream_airflow.tasks.spark_job import SparkJobOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

# A run reads versions and staged tables of its own start. Every DAG's deadline is far below a day
# (tests/dags/test_dag_policy.py), so what is older than that no run reads.
LEAST_HOURS = 24

DOC = """
### Maintain the lake

- `maintain_tables`: in every table small files together (OPTIMIZE), files of old versions away (VACUUM). The
  versions that registered models were trained on are kept for ever; without MLflow's answer nothing is done.
- `clean_up`: staged tables, what runs fetched and never landed, submissions that no job has read, Spark's
  event logs and, only if asked for, landed bytes.

Results say files and bytes before and after. With `dry_run` they say what would be done.
"""


class MaintainOperator(SparkJobOperator):
    """The job `maintain_tables`, with the pins as they are at each attempt, also when cleared later.

    Raises TrackingError when MLflow does not answer: nothing may be deleted without knowing the pins.
    """

    def job_arguments(self, context: Context) -> dict[str, Any]:
        return {**super().job_arguments(context), "pins": registry.pinned_versions()}


def maintenance_dag() -> DAG:
    """The DAG `maintain_lake`."""
    with DAG(
        dag_id="maintain_lake",
        description="Compact tables, remove old versions, staged tables and event logs",
        doc_md=DOC,
        schedule=at_next("0 4 * * 0"),
        catchup=False,
        max_active_runs=1,
        tags=["operations"],
        params=_params(),
        dagrun_timeout=timedelta(hours=6),
        default_args={"owner": "data-platform", **TASK_ARGS},
        on_failure_callback=RunNotifier(),
        render_template_as_native_obj=True,
    ) as dag:
        tables = MaintainOperator(
            task_id="maintain_tables",
            job="maintain_tables",
            noted=True,
            arguments={
                name: f"{{{{ params.{name} }}}}"
                for name in ("retention_hours", "target_file_mb", "table_target_mb", "dry_run")
            },
            doc_md="OPTIMIZE and VACUUM of every table; files of pinned versions are kept.",
        )
        tables >> clean_up()
    return dag


def _params() -> dict[str, Param]:
    optional: dict[str, Any] = {"type": ["null", "integer"], "minimum": 1}
    return {
        "retention_hours": Param(
            168,
            type="integer",
            minimum=LEAST_HOURS,
            description="Old versions stay readable this long; those that a model was trained on, always.",
        ),
        "target_file_mb": Param(
            128,
            type="integer",
            minimum=1,
            description="Files smaller than this are put together to this size.",
        ),
        "table_target_mb": Param(
            {},
            type="object",
            additionalProperties={"type": "integer", "minimum": 1},
            description='Another size for some tables, for example {"silver.flights": 256}.',
        ),
        "staging_days": Param(
            14,
            type="integer",
            minimum=1,
            description="What runs staged, or fetched and never landed, goes when older than this.",
        ),
        "event_log_days": Param(
            30, type="integer", minimum=1, description="Spark event logs older than this go."
        ),
        "landing_days": Param(
            None, description="Landed bytes older than this, if published, go. Empty: they stay.", **optional
        ),
        "dry_run": Param(False, type="boolean", description="Only report what would be done."),
    }


@task(
    doc_md="What is past its time: staged tables, fetched bytes that never landed, event logs, landed bytes.",
    multiple_outputs=True,
)
def clean_up() -> dict[str, Any]:
    from millstream.lake.storage import Storage
    from millstream.upkeep import retention

    params, now, root = get_current_context()["params"], datetime.now(UTC), catalog.lake_root()
    dry_run = params["dry_run"]
    event_logs = Storage(Settings().event_log_root)
    removed = {
        "staging": retention.remove_staged(root, now - timedelta(days=params["staging_days"]), dry_run),
        # Logins may be in them, and no run is older than this.
        "submissions": retention.remove_submissions(root, now - timedelta(hours=LEAST_HOURS), dry_run),
        "event_logs": retention.remove_event_logs(
            event_logs, now - timedelta(days=params["event_log_days"]), dry_run
        ),
    }
    for dataset in catalog.datasets():
        before = now - timedelta(days=params["staging_days"])
        removed[f"unlanded.{dataset}"] = retention.remove_unlanded(root, dataset, before, dry_run)
    if params["landing_days"] is not None:
        before = now - timedelta(days=params["landing_days"])
        for dataset in catalog.datasets():
            contract = catalog.contract(dataset)
            if contract.is_about_files:
                continue
            lookback = contract.lookback(of_times=True)
            removed[f"landing.{dataset}"] = retention.remove_landed(
                root, dataset, before, now, dry_run, lookback
            )
    return {name: count.model_dump(mode="json") for name, count in removed.items()}
