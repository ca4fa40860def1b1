"""The one operator that runs jobs on Spark, over either kind of connection.

`spark_connect` runs the job's code in the task and its queries on the warm Connect server; `spark` submits
`spark_jobs/run_job.py`. Both call `millstream.jobs.execute` and both raise the library's own exceptions,
because Airflow's retry rules match exception classes and spark-submit only ever raises a generic one.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowSkipException

from millstream.errors import ClusterError, ConfigurationError
from millstream.lake.storage import Storage
from millstream.landing.manifest import run_key
from millstream.settings import Settings
from millstream_airflow import catalog
from millstream_airflow.tasks import lineage
from millstream_airflow.tasks.links import DataDocsLink, MlflowLink, SparkLink
from millstream_airflow.tasks.summaries import summary

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Connection, Context

# Jobs share the cluster's cores: more of them at once only make each slower.
SPARK_POOL = "spark"
# How many earlier tries of a task are looked for on the Connect server.
EARLIER_TRIES = 5


class SparkJobOperator(SparkSubmitOperator):
    """Run one of `millstream.jobs` and return its `Result`.

    Args:
        job: module name in `millstream.jobs`.
        arguments: the job's arguments (templated); `lake_root` and `run` are added.
        more_arguments: further ones, for what differs between mapped tasks.
        dataset: adds the dataset's contract as `contract` (templated).
        suite: adds the expectation suite of this name as `suite` (templated).
        conn_id: connection of type `spark_connect` or `spark`.
        mlflow_conn_id: its address and login reach the job by the environment.
        skip_if: the task is skipped when this renders to "True".

    Raises:
        millstream.errors.PermanentError, TransientError: as the job raised them.
    """

    template_fields: Sequence[str] = ("arguments", "more_arguments", "dataset", "suite", "skip_if")
    template_fields_renderers: ClassVar[dict[str, str]] = {"arguments": "json"}
    operator_extra_links = (SparkLink(), MlflowLink(), DataDocsLink())
    ui_color = "#f6e7d2"

    def __init__(
        self,
        *,
        job: str,
        arguments: dict[str, Any] | None = None,
        more_arguments: dict[str, Any] | None = None,
        dataset: str | None = None,
        suite: str | None = None,
        conn_id: str = "spark_connect",
        mlflow_conn_id: str | None = None,
        skip_if: str = "",
        pool: str = SPARK_POOL,
        **kwargs: Any,
    ) -> None:
        # Each field of the result is an XCom of its own, so that a later task can ask for just one.
        super().__init__(conn_id=conn_id, name=job, pool=pool, multiple_outputs=True, **kwargs)
        self.job = job
        self.arguments = arguments or {}
        self.more_arguments = more_arguments or {}
        self.dataset = dataset
        self.suite = suite
        self.mlflow_conn_id = mlflow_conn_id
        self.skip_if = skip_if
        self.links: dict[str, str] = {}
        self.read: dict[str, int] = {}
        self.written: dict[str, int] = {}

    def execute(self, context: Context) -> dict[str, Any]:  # type: ignore[override]
        if self.skip_if == "True":
            raise AirflowSkipException(f"{self.task_id} is not needed in this run")
        connection = BaseHook.get_connection(self._conn_id)
        arguments = self.job_arguments(context)
        began = time.monotonic()
        self.log.info("job %s on %s connection %s", self.job, connection.conn_type, self._conn_id)
        if connection.conn_type == "spark_connect":
            result = self._run_over_connect(connection, arguments, context)
        elif connection.conn_type == "spark":
            result = self._submit(arguments, context)
        else:
            raise ConfigurationError(
                f"connection {self._conn_id} is of type {connection.conn_type}; a Spark job needs "
                "spark_connect or spark"
            )
        self._note_links(result)
        self.read, self.written = lineage.tables_read(arguments, result), lineage.tables_written(result)
        asked = {"partitions": arguments.get("partitions", ())}
        for line in summary(self.job, {**asked, **result}, time.monotonic() - began):
            self.log.info("%s", line)
        return result

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Tables read and written with their versions; called by the OpenLineage listener."""
        from airflow.providers.openlineage.extractors import OperatorLineage

        root = Settings().lake_root
        return OperatorLineage(
            inputs=[lineage.dataset(table, version, root) for table, version in self.read.items()],
            outputs=[lineage.dataset(table, version, root) for table, version in self.written.items()],
        )

    def job_arguments(self, context: Context) -> dict[str, Any]:
        """All arguments that the job is called with; the golden files are made from these."""
        dag_run = context["dag_run"]
        assert dag_run is not None
        given = {**self.arguments, **self.more_arguments}
        # The results of mapped tasks come as a lazy sequence, which is no JSON.
        given = json.loads(json.dumps(given, default=list))
        arguments = {"lake_root": Settings().lake_root, "run": run_key(dag_run.run_id), **given}
        if self.dataset is not None:
            arguments["contract"] = catalog.contract(self.dataset).model_dump(mode="json")
        if self.suite is not None:
            arguments["suite"] = catalog.suite(self.suite)
        return arguments

    def _run_over_connect(
        self, connection: Connection, arguments: dict[str, Any], context: Context
    ) -> dict[str, Any]:
        from millstream import jobs
        from millstream.engines import sessions

        os.environ.update(self._job_environment())
        ti = context["ti"]
        task = f"{ti.dag_id}/{ti.run_id}/{ti.task_id}/{ti.map_index}"
        attempt = f"{task}/{ti.try_number}"
        earlier = [
            f"{task}/{number}" for number in range(max(1, ti.try_number - EARLIER_TRIES), ti.try_number)
        ]
        # The arguments are checked before a session is asked for.
        jobs.parse(self.job, arguments)
        ui = connection.extra_dejson.get("ui_url") or f"http://{connection.host}:{Settings().spark_ui_port}"
        self.links["Spark"] = f"{ui}/connect/session/?id={sessions.session_id(attempt)}"
        url = f"sc://{connection.host}:{connection.port or 15002}"
        with sessions.connect(url, attempt, earlier, tag=run_key(ti.run_id)[:60]) as spark:
            return jobs.execute(spark, self.job, arguments)

    def _submit(self, arguments: dict[str, Any], context: Context) -> dict[str, Any]:
        settings = Settings()
        ti = context["ti"]
        outcome = (
            f"outcomes/{run_key(f'{ti.dag_id}.{ti.run_id}.{ti.task_id}.{ti.map_index}.{ti.try_number}')}.json"
        )
        self.application = str(settings.root / "spark_jobs" / "run_job.py")
        self.application_args = [
            self.job,
            "--lake-root",
            settings.lake_root,
            "--outcome",
            outcome,
            "--args",
            json.dumps(arguments),
        ]
        self.env_vars = {**self._job_environment(), **(self.env_vars or {})}
        self.conf = {**catalog.spark_conf(), **(self.conf or {})}
        try:
            super().execute(context)
        except Exception as error:
            self.log.error("spark-submit ended with: %s", error)
            return _read_outcome(Storage(settings.lake_root), outcome, error)
        return _read_outcome(Storage(settings.lake_root), outcome, None)

    def _job_environment(self) -> dict[str, str]:
        """What the job finds in its environment: secrets travel here and nowhere else."""
        if self.mlflow_conn_id is None:
            return {}
        connection = BaseHook.get_connection(self.mlflow_conn_id)
        scheme, port = connection.schema or "http", connection.port or 5000
        environment = {
            "MLFLOW_TRACKING_URI": f"{scheme}://{connection.host}:{port}",
            "MLFLOW_TRACKING_USERNAME": connection.login or "",
            "MLFLOW_TRACKING_PASSWORD": connection.password or "",
        }
        return {name: value for name, value in environment.items() if value}

    def _note_links(self, result: dict[str, Any]) -> None:
        if page := result.get("docs_page"):
            self.links["Data Docs"] = catalog.data_docs_url(page)
        if url := result.get("mlflow_url"):
            self.links["MLflow"] = url


def _read_outcome(storage: Storage, path: str, error: Exception | None) -> dict[str, Any]:
    """The submitted job's result. Raises what the job raised, or ClusterError when it left no word."""
    from millstream.engines.outcome import Outcome

    if not storage.exists(path):
        raise ClusterError(
            f"the submitted job ended without an outcome: {error or 'its driver was lost'}; see the log above"
        ) from error
    return Outcome.model_validate_json(storage.read(path)).result_or_raise()
