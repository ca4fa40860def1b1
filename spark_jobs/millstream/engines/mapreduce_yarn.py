"""Hadoop MapReduce jobs with Python mappers and reducers on YARN: the same scripts as by the local runner.

Hadoop's client submits and ends; what becomes of the job is asked of YARN, and its counters and failed tasks
of MapReduce's history server.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from millstream.engines.mapreduce import (
    ENVIRONMENT,
    Counters,
    StreamingJob,
    failure,
    java_program,
    streaming_classpath,
    streaming_command,
)
from millstream.engines.yarn import (
    OVER_MEMORY,
    TIMEOUT_S,
    Application,
    ResourceManager,
    adopted,
    last_lines,
)
from millstream.errors import ClusterError, ConfigurationError, MillstreamError

log = logging.getLogger(__name__)

# The history server looks for jobs that have ended every few seconds.
HISTORY_S = 60.0
POLL_S = 0.5
# In the address at which Hadoop's client says that the job can be watched.
APPLICATION_ID = re.compile(r"\bapplication_\d+_\d+\b")
HADOOP_VARIABLE = re.compile(r"\$\{env\.(\w+)")


class HistoryServer:
    """MapReduce's history server by the address of its web pages."""

    def __init__(self, url: str) -> None:
        if urlsplit(url).scheme not in ("http", "https"):
            raise ConfigurationError(
                f"the history server's address is {url!r}: expected http://<host>:19888, Hadoop's "
                "mapreduce.jobhistory.webapp.address"
            )
        self._url = f"{url.rstrip('/')}/ws/v1/history"

    def require_up(self) -> None:
        """Raise ClusterError when it does not answer: a job could be run, but its end not be explained."""
        self._get("info", 0)

    def counters(self, application_id: str) -> Counters:
        """The counters of a job that has ended, by group and name; Hadoop's own under their names in Java."""
        answer = self._of_job(application_id, "counters")["jobCounters"]
        return {
            group["counterGroupName"]: {
                counter["name"]: counter["totalCounterValue"] for counter in _listed(group, "counter")
            }
            for group in _listed(answer, "counterGroup")
        }

    def failed_attempt(self, application_id: str) -> tuple[str, str]:
        """What Hadoop says of the last failed attempt of a task, and the last lines of its standard error.

        Both are empty when no task has failed.
        """
        failed = [
            attempt
            for task in _listed(self._of_job(application_id, "tasks")["tasks"], "task")
            # Of a job that fails, reducers that it ends count as failed too, without an attempt that did.
            if task["state"] == "FAILED"
            for attempt in self._attempts(application_id, task["id"])
            if attempt["state"] == "FAILED"
        ]
        if not failed:
            return "", ""
        last = max(failed, key=lambda attempt: attempt["startTime"])
        place = f"{last['nodeHttpAddress']}/node/containerlogs/{last['assignedContainerId']}/"
        return last["diagnostics"], last_lines(f"http://{place}", files=("stderr",))

    def _attempts(self, application_id: str, task: str) -> list[dict[str, Any]]:
        answer = self._of_job(application_id, f"tasks/{task}/attempts")
        return _listed(answer["taskAttempts"], "taskAttempt")

    def _of_job(self, application_id: str, what: str) -> dict[str, Any]:
        job = application_id.replace("application", "job")
        return self._get(f"mapreduce/jobs/{job}/{what}", HISTORY_S)

    def _get(self, path: str, patience_s: float) -> dict[str, Any]:
        url, deadline = f"{self._url}/{path}", time.monotonic() + patience_s
        while True:
            try:
                answer = httpx.get(url, timeout=TIMEOUT_S).raise_for_status().json()
                assert isinstance(answer, dict)
                return answer
            except (httpx.HTTPError, ValueError) as error:
                if time.monotonic() > deadline:
                    raise ClusterError(
                        f"MapReduce's history server does not answer {url}: {error or type(error).__name__}; "
                        "look whether it runs, and at mapreduce_jobhistory_webapp_address of the connection"
                    ) from error
            time.sleep(POLL_S)


def _listed(answer: Any, name: str) -> list[dict[str, Any]]:
    """The list `name` in an answer: Hadoop makes empty text of an empty one, and an object of one element."""
    content = answer[name] if answer else []
    return content if isinstance(content, list) else [content]


class YarnRunner:
    """Runs the job of one task on YARN; `tag` is the task's, of whichever try.

    Args:
        jars: has Hadoop's streaming jar (`.millstream/jars`).
        conf: Hadoop's configuration.
    """

    def __init__(
        self, manager: ResourceManager, history: HistoryServer, tag: str, *, jars: Path, conf: Path
    ) -> None:
        self._manager = manager
        self._history = history
        self._tag = tag
        self._jars = jars
        self._conf = conf
        self._client: subprocess.Popen[str] | None = None

    def earlier(self) -> str | None:
        """The job that an earlier try of the task has left running, if any."""
        application = adopted(self._manager.tagged(self._tag), lambda _: True, self._manager)
        return application.id if application else None

    def submit(self, job: StreamingJob, source: str, target: str) -> str:
        """Hands `job` to YARN, from the folder with the URI `source` to the new one `target`.

        Raises: ClusterError with the last lines of Hadoop's client when it was not accepted.
        """
        self._manager.require_up()
        self._history.require_up()
        with tempfile.TemporaryDirectory(prefix="mapreduce-") as own:
            command = yarn_command(
                job, source, target, self._tag, scratch=Path(own), jars=self._jars, conf=self._conf
            )
            self._client = subprocess.Popen(
                command,
                cwd=own,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            printed, _ = self._client.communicate()
        submitted = APPLICATION_ID.search(printed)
        if self._client.returncode or submitted is None:
            raise failure(job.name, printed.splitlines(), [])
        log.info("submitted as %s", submitted[0])
        return submitted[0]

    def follow(self, job: StreamingJob, application_id: str) -> Counters:
        """Waits for the end of a job, of whichever try, and returns its counters.

        Raises: TransformError when the script failed, with the last lines of its standard error;
            ConfigurationError when a container was too small; ClusterError when Hadoop failed, or the job
            was killed.
        """
        application = self._manager.follow(application_id)
        if not application.succeeded:
            raise self._failure(job, application)
        return self._history.counters(application_id)

    def kill(self) -> None:
        """Ends the submission, and what has been submitted."""
        if self._client is not None and self._client.poll() is None:
            os.killpg(self._client.pid, signal.SIGKILL)
        for application in self._manager.tagged(self._tag):
            self._manager.kill(application.id)

    def _environment(self) -> dict[str, str]:
        """What Hadoop's configuration takes from the environment, and no more: secrets may be in the rest."""
        names = {*ENVIRONMENT, "HADOOP_USER_NAME", "HADOOP_CONF_DIR"}
        for file in self._conf.glob("*.xml"):
            names.update(HADOOP_VARIABLE.findall(file.read_text()))
        return {name: os.environ[name] for name in names if name in os.environ}

    def _failure(self, job: StreamingJob, application: Application) -> MillstreamError:
        if application.state == "KILLED":
            return self._manager.failure(application, job.name)
        diagnostics, lines = self._history.failed_attempt(application.id)
        if not diagnostics:
            return self._manager.failure(application, job.name)
        if any(text in diagnostics for text in OVER_MEMORY):
            return ConfigurationError(
                f"{job.name} ({application.id}) used more memory than its container has: raise "
                f"mapreduce.map.memory.mb or mapreduce.reduce.memory.mb in mapred-site.xml. {diagnostics}"
            )
        return failure(f"{job.name} ({application.id})", diagnostics.splitlines(), lines.splitlines())


def yarn_command(
    job: StreamingJob, source: str, target: str, tag: str, *, scratch: Path, jars: Path, conf: Path
) -> list[str]:
    """The command line that submits one run of a job, and does not wait for its end."""
    command = streaming_command(
        job,
        source,
        target,
        scratch=scratch,
        java=java_program(),
        classpath=[conf, *streaming_classpath(jars)],
        python=os.environ.get("PYSPARK_PYTHON", sys.executable),
        properties={"mapreduce.framework.name": "yarn", "mapreduce.job.tags": tag},
    )
    return [*command, "-background"]
