"""The job is submitted: `spark_jobs/run_job.py` by spark-submit, in a driver of its own."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook

from millstream.errors import ClusterError, ConfigurationError
from millstream.lake.storage import Storage
from millstream.landing.manifest import run_key
from millstream.settings import Settings
from millstream_airflow import catalog
from millstream_airflow.engines import Attempt

if TYPE_CHECKING:
    from airflow.sdk import Connection

log = logging.getLogger(__name__)


class Engine:
    """spark-submit, as the provider's hook calls it. How a job ended is read from a file in the lake, because
    spark-submit hands back an exit status only."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._hook: SparkSubmitHook | None = None

    def run(
        self, job: str, arguments: dict[str, Any], attempt: Attempt, environment: Mapping[str, str]
    ) -> dict[str, Any]:
        self._require_supported(environment)
        settings = Settings()
        outcome = f"outcomes/{run_key(attempt.name.replace('/', '.'))}.json"
        self._hook = SparkSubmitHook(
            conn_id=self._connection.conn_id,
            name=job,
            conf=catalog.submitted_conf(),
            env_vars=dict(environment),
            application_args=[
                job,
                *("--lake-root", settings.lake_root),
                *("--outcome", outcome),
                *("--args", json.dumps(arguments)),
            ],
        )
        failure: Exception | None = None
        try:
            self._hook.submit(str(settings.root / "spark_jobs" / "run_job.py"))
        except Exception as error:
            log.error("spark-submit ended with: %s", error)
            failure = error
        return _read_outcome(Storage(settings.lake_root), outcome, failure)

    def _require_supported(self, environment: Mapping[str, str]) -> None:
        name, master = self._connection.conn_id, self._connection.host or "yarn"
        if self._connection.extra_dejson.get("deploy-mode", "client") != "client":
            raise ConfigurationError(
                f"connection {name}: deploy-mode cluster is not supported, because the job's end is waited "
                "for here: set deploy-mode to client"
            )
        if environment and master.startswith(("yarn", "k8s")):
            raise ConfigurationError(
                f"connection {name}: on {master} spark-submit would write {', '.join(sorted(environment))} "
                "into its command line: run this job over spark_connect, or on another master"
            )

    def url(self, attempt: Attempt) -> None:
        """A driver of its own serves no pages."""

    def kill(self) -> None:
        if self._hook is not None:
            self._hook.on_kill()


def _read_outcome(storage: Storage, path: str, failure: Exception | None) -> dict[str, Any]:
    """The submitted job's result. Raises what the job raised, or ClusterError when it left no word."""
    from millstream.engines.outcome import Outcome

    if not storage.exists(path):
        raise ClusterError(
            f"the submitted job ended without an outcome: {failure or 'its driver was lost'}; see the log"
        ) from failure
    return Outcome.model_validate_json(storage.read(path)).result_or_raise()
