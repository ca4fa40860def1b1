"""The one operator that runs jobs on Spark: it gathers a job's arguments and lets an engine run it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseHook, BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from millstream.landing.manifest import run_key
from millstream.settings import Settings
from millstream_airflow import catalog
from millstream_airflow.engines import Attempt, Engine, engine_for
from millstream_airflow.tasks import lineage
from millstream_airflow.tasks.links import DataDocsLink, MlflowLink, SparkLink
from millstream_airflow.tasks.notes import leave_note
from millstream_airflow.tasks.summaries import summary

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context

# Jobs share the cluster's cores: more of them at once only make each slower.
SPARK_POOL = "spark"


class SparkJobOperator(BaseOperator):
    """Run one of `millstream.jobs` and return its `Result`.

    Args:
        job: module name in `millstream.jobs`.
        arguments: the job's arguments (templated); `lake_root` and `run` are added.
        more_arguments: further arguments that differ between mapped tasks.
        dataset: adds the dataset's contract as `contract` (templated).
        suite: adds the expectation suite of this name as `suite` (templated).
        conn_id: connection whose type names one of `millstream_airflow.engines`.
        mlflow_conn_id: its address and login reach the job by the environment.
        skip_if: the task is skipped when this renders to "True".
        noted: the result, in short, goes into the note of the run.

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
        noted: bool = False,
        pool: str = SPARK_POOL,
        **kwargs: Any,
    ) -> None:
        # Each field of the result is an XCom of its own, so that a later task can ask for just one.
        super().__init__(pool=pool, multiple_outputs=True, **kwargs)
        self.conn_id = conn_id
        self.job = job
        self.arguments = arguments or {}
        self.more_arguments = more_arguments or {}
        self.dataset = dataset
        self.suite = suite
        self.mlflow_conn_id = mlflow_conn_id
        self.skip_if = skip_if
        self.noted = noted
        self._engine: Engine | None = None
        self.links: dict[str, str] = {}
        self.read: dict[str, int] = {}
        self.written: dict[str, int] = {}

    def execute(self, context: Context) -> dict[str, Any]:
        if self.skip_if == "True":
            raise AirflowSkipException(f"{self.task_id} is not needed in this run")
        self._engine = engine_for(self.conn_id)
        arguments = self.job_arguments(context)
        attempt = Attempt.of(context["ti"])
        began = time.monotonic()
        self.log.info("job %s on connection %s", self.job, self.conn_id)
        try:
            result = self._engine.run(self.job, arguments, attempt, self._job_environment())
        finally:
            # Of a job that failed too.
            if url := self._engine.url(attempt):
                self.links["Spark"] = url
        self._note_links(result)
        self.read, self.written = lineage.tables_read(arguments, result), lineage.tables_written(result)
        asked = {"partitions": arguments.get("partitions", ())}
        lines = summary(self.job, {**asked, **result}, time.monotonic() - began)
        for line in lines:
            self.log.info("%s", line)
        if self.noted:
            # Airflow shows beside the note how long it took.
            leave_note(context, lines[1:])
        return result

    def on_kill(self) -> None:
        if self._engine is not None:
            self._engine.kill()

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

    def _job_environment(self) -> dict[str, str]:
        """The job's environment, the only way for secrets."""
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
        # A publish has the verdict that let it happen.
        if page := result.get("docs_page") or (result.get("verdict") or {}).get("docs_page"):
            self.links["Data Docs"] = catalog.data_docs_url(page)
        if url := result.get("mlflow_url"):
            self.links["MLflow"] = url
