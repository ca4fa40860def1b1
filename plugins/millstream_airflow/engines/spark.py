"""The job is submitted: `spark_jobs/run_job.py` by spark-submit, in a driver of its own."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook

from millstream.engines.conf import hadoop_user
from millstream.engines.submission import Submission, SubmittedJob
from millstream.engines.yarn import ResourceManager, adopted
from millstream.errors import ClusterError, ConfigurationError
from millstream.lake.storage import Storage
from millstream.settings import Settings
from millstream_airflow import catalog
from millstream_airflow.engines import Attempt, history_page

if TYPE_CHECKING:
    from airflow.sdk import Connection

log = logging.getLogger(__name__)

# The extra that the provider's own form of the connection has for it.
RESOURCE_MANAGER = "yarn_resourcemanager_webapp_address"


class Engine:
    """spark-submit, as the provider's hook calls it. What the job is to do, and how it ended, are files in
    the lake: a command line is public, and spark-submit hands back an exit status only.

    On YARN in cluster mode the driver outlives its task. A later try finds it by its tag: it follows one that
    does what is to be done now, and ends any other.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._hook: SparkSubmitHook | None = None
        self._manager: ResourceManager | None = None
        self._application = ""
        self._submitted: SubmittedJob | None = None

    def run(
        self, job: str, arguments: dict[str, Any], attempt: Attempt, environment: Mapping[str, str]
    ) -> dict[str, Any]:
        settings = Settings()
        submission = Submission(job=job, arguments=arguments, environment=dict(environment))
        submitted = SubmittedJob(Storage(settings.lake_root), attempt.task, submission)
        self._submitted = submitted
        if self._mode() == "cluster":
            return self._on_yarn(submitted, job, settings)
        submitted.write()
        self._hook = self._submission(submitted, job, settings, catalog.submitted_conf())
        failure: Exception | None = None
        try:
            self._hook.submit(_script(settings))
        except Exception as error:
            log.error("spark-submit ended with: %s", error)
            failure = error
        outcome = submitted.take_outcome()
        if outcome is None:
            submitted.clear()
            raise ClusterError(
                f"the submitted job ended without an outcome: {failure or 'its driver was lost'}; see the log"
            ) from failure
        return outcome.result_or_raise()

    def _mode(self) -> str:
        mode = str(self._connection.extra_dejson.get("deploy-mode", "client"))
        master = self._connection.host or "yarn"
        if mode == "cluster" and master != "yarn":
            raise ConfigurationError(
                f"connection {self._connection.conn_id}: deploy-mode cluster is supported on yarn, not on "
                f"{master}: set deploy-mode to client"
            )
        return mode

    def _on_yarn(self, submitted: SubmittedJob, job: str, settings: Settings) -> dict[str, Any]:
        self._manager = manager = self._resource_manager()
        manager.require_up()
        earlier = adopted(
            manager.tagged(submitted.task_tag), lambda one: submitted.own_tag in one.tags, manager
        )
        if earlier is not None:
            log.info("%s, which an earlier try has submitted, does this already", earlier.id)
            self._application = earlier.id
        else:
            self._application = self._submit_to_yarn(submitted, job, settings, manager)
        application = manager.follow(self._application)
        outcome = submitted.take_outcome()
        if outcome is None:
            submitted.clear()
            raise manager.failure(application, job)
        return outcome.result_or_raise()

    def _submit_to_yarn(
        self, submitted: SubmittedJob, job: str, settings: Settings, manager: ResourceManager
    ) -> str:
        submitted.write()
        tags = {"spark.yarn.tags": f"{submitted.task_tag},{submitted.own_tag}"}
        self._hook = self._submission(submitted, job, settings, catalog.yarn_conf() | tags)
        failure: Exception | None = None
        try:
            self._hook.submit(_script(settings))
        except Exception as error:
            failure = error
        # Also one whose submission was taken for failed.
        alive = manager.tagged(submitted.own_tag)
        known = alive[-1].id if alive else self._hook._yarn_application_id
        if known is None:
            submitted.clear()
            raise _refused(job, failure) from failure
        log.info("submitted as %s", known)
        return known

    def _submission(
        self, submitted: SubmittedJob, job: str, settings: Settings, conf: dict[str, str]
    ) -> SparkSubmitHook:
        return SparkSubmitHook(
            conn_id=self._connection.conn_id,
            name=job,
            conf=conf,
            py_files=str(catalog.code()),
            application_args=[
                *("--lake-root", settings.lake_root),
                *("--submission", submitted.path),
                *("--outcome", submitted.outcome_path),
            ],
        )

    def _resource_manager(self) -> ResourceManager:
        url = self._connection.extra_dejson.get(RESOURCE_MANAGER)
        if not url:
            raise ConfigurationError(
                f"connection {self._connection.conn_id}: its extra has no {RESOURCE_MANAGER}, which "
                "deploy-mode cluster needs: for example http://resourcemanager:8088"
            )
        return ResourceManager(url, hadoop_user())

    def url(self, attempt: Attempt) -> str | None:
        """A driver of its own serves no pages; a history server has those of one on YARN."""
        return history_page(self._connection, self._application)

    def kill(self) -> None:
        if self._manager is not None and self._application:
            self._manager.kill(self._application)
        elif self._hook is not None:
            self._hook.on_kill()
        # A driver that has not begun has not read it, and it may have logins in it.
        if self._submitted is not None:
            self._submitted.clear()


def _script(settings: Settings) -> str:
    return str(settings.root / "spark_jobs" / "run_job.py")


def _refused(job: str, failure: Exception | None) -> Exception:
    """The error of a submission that YARN has not accepted."""
    text = str(failure or "spark-submit named no application")
    if "above the max threshold" in text or "unknown queue" in text.lower():
        return ConfigurationError(
            f"{job} was not accepted by YARN: {text}. What to do: correct conf/spark/yarn.conf, or the queue "
            "of the connection"
        )
    return ClusterError(f"{job} was not submitted: {text}")
