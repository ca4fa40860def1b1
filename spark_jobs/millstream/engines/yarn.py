"""YARN, by the REST APIs of its ResourceManager and NodeManagers: what became of an application, and why.

Spark and MapReduce jobs are followed in the same way: found by a tag, so that a job whose id nobody noted is
found too, polled to their end, and explained by YARN's diagnostics and the last lines of their container.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from millstream.errors import ClusterError, ConfigurationError, MillstreamError

log = logging.getLogger(__name__)

ENDED = frozenset(("FINISHED", "FAILED", "KILLED"))
TIMEOUT_S = 5.0
POLL_S = 1.0
# How long a ResourceManager may be away while a job runs: a restart, or a failover.
AWAY_S = 60.0
# A job that has waited for containers for so long says in its log what for.
WAITING_S = 10.0
KILL_TIMEOUT_S = 60.0
LAST_LINES = 30
LOG_BYTES = 16384
LOG_FILES = ("stderr", "stdout", "syslog")
# It has its first container, which is starting.
LAUNCHED = "AM container is launched"
OVER_MEMORY = ("beyond the 'PHYSICAL' memory limit", "beyond physical memory limits")


@dataclass(frozen=True)
class Application:
    """An application as YARN reports it: containers that it has and that it asks for; `log_url` is where its
    first container's log can be read."""

    id: str
    state: str
    final_status: str
    diagnostics: str
    queue: str
    tags: frozenset[str]
    log_url: str
    has: int
    asks: int

    @property
    def alive(self) -> bool:
        return self.state not in ENDED

    @property
    def succeeded(self) -> bool:
        return self.final_status == "SUCCEEDED"

    @property
    def waits(self) -> bool:
        """For its first container, or with that alone for those that would do its work."""
        if self.state == "ACCEPTED":
            return LAUNCHED not in self.diagnostics
        return self.state == "RUNNING" and self.has <= 1 and self.asks > 0

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Application:
        return cls(
            id=answer["id"],
            state=answer["state"],
            final_status=answer["finalStatus"],
            diagnostics=(answer.get("diagnostics") or "").strip(),
            queue=answer.get("queue") or "",
            tags=frozenset((answer.get("applicationTags") or "").split(",")) - {""},
            log_url=answer.get("amContainerLogs") or "",
            has=max(0, answer.get("runningContainers") or 0),
            # What may be on any node is asked for by node and rack too.
            asks=sum(
                one["numContainers"]
                for one in answer.get("resourceRequests") or ()
                if one["resourceName"] == "*"
            ),
        )


class UnknownApplicationError(ClusterError):
    """The ResourceManager has no such application."""


class ResourceManager:
    """A ResourceManager by the address of its web pages; `user` is who may kill what runs."""

    def __init__(self, url: str, user: str) -> None:
        if urlsplit(url).scheme not in ("http", "https"):
            raise ConfigurationError(
                f"the ResourceManager's address is {url!r}: expected http://<host>:8088, Hadoop's "
                "yarn.resourcemanager.webapp.address"
            )
        self._url = f"{url.rstrip('/')}/ws/v1/cluster"
        self._user = user

    def require_up(self) -> None:
        """Raise ClusterError when it does not answer: spark-submit would try for a quarter of an hour."""
        self._get("info")

    def application(self, application_id: str) -> Application:
        return Application.of(self._get(f"apps/{application_id}")["app"])

    def tagged(self, tag: str) -> list[Application]:
        """What still runs or waits under a tag, the oldest first."""
        found = (self._get("apps", applicationTags=tag).get("apps") or {}).get("app") or []
        known = map(Application.of, sorted(found, key=lambda one: one["startedTime"]))
        return [application for application in known if application.alive]

    def kill(self, application_id: str, timeout_s: float = KILL_TIMEOUT_S) -> None:
        """End an application, and wait for its end.

        Raises: ClusterError when it has not ended in time, or may not be ended by this user.
        """
        deadline = time.monotonic() + timeout_s
        while self.application(application_id).alive:
            self._call("PUT", f"apps/{application_id}/state", {"user.name": self._user}, {"state": "KILLED"})
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"{application_id} has not ended {timeout_s:.0f} s after it was killed; end it with "
                    f"`yarn application -kill {application_id}` before trying again"
                )
            time.sleep(POLL_S)

    def follow(self, application_id: str, away_s: float = AWAY_S) -> Application:
        """Wait for an application's end; changes of its state, and what it waits for, go to the log.

        Raises: ClusterError when the ResourceManager stays away for `away_s` seconds, while the application
            runs on, or when it has forgotten the application.
        """
        answered = time.monotonic()
        waits_since: float | None = None
        state, said = "", False
        while True:
            try:
                application = self.application(application_id)
                answered = time.monotonic()
            except UnknownApplicationError:
                raise
            except ClusterError:
                if time.monotonic() - answered > away_s:
                    raise
                time.sleep(POLL_S)
                continue
            if application.state != state:
                state = application.state
                log.info("%s is %s", application_id, state)
            if not application.alive:
                return application
            waits_since = (waits_since or answered) if application.waits else None
            if waits_since is not None and not said and answered - waits_since > WAITING_S:
                said = True
                log.warning("%s", self.why_waiting(application))
            time.sleep(POLL_S)

    def why_waiting(self, application: Application) -> str:
        """What a job waits for: to begin, or to have more than its driver or master."""
        figures = self._get("metrics")["clusterMetrics"]
        what = f"for {application.asks} containers, having {application.has}," if application.has else "in"
        return (
            f"{application.id} waits {what} queue {application.queue}: {figures['availableMB']} MB and "
            f"{figures['availableVirtualCores']} cores are free on {figures['activeNodes']} nodes, "
            f"{figures['appsRunning']} applications run and {figures['appsPending']} wait. What to do: wait, "
            f"end what holds the queue, or give it more; YARN says: {application.diagnostics or 'nothing'}"
        )

    def failure(self, application: Application, name: str) -> MillstreamError:
        """The error of an application that left no outcome of its own."""
        lines = last_lines(application.log_url)
        told = f"{application.diagnostics or 'YARN gives no reason'}\nIts last lines:\n{lines}"
        if any(text in application.diagnostics for text in OVER_MEMORY):
            return ConfigurationError(
                f"{name} ({application.id}) used more memory than its container has: raise memory or "
                f"memoryOverhead in conf/spark/yarn.conf. {told}"
            )
        how = "was killed" if application.state == "KILLED" else f"ended as {application.final_status}"
        return ClusterError(f"{name} ({application.id}) {how} without an outcome: {told}")

    def _get(self, path: str, **query: str) -> dict[str, Any]:
        answer = self._call("GET", path, query).json()
        assert isinstance(answer, dict)
        return answer

    def _call(
        self, method: str, path: str, query: dict[str, str], body: dict[str, str] | None = None
    ) -> httpx.Response:
        url = f"{self._url}/{path}"
        try:
            # One that is standby sends to the active one.
            answer = httpx.request(
                method, url, params=query, json=body, timeout=TIMEOUT_S, follow_redirects=True
            )
            if answer.status_code == httpx.codes.NOT_FOUND:
                raise UnknownApplicationError(
                    f"YARN's ResourceManager at {self._url} does not know {path}: it has forgotten it, or "
                    "was started again without its state (yarn.resourcemanager.recovery.enabled)"
                )
            answer.raise_for_status()
            if method == "GET":
                answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise ClusterError(
                f"YARN's ResourceManager at {self._url} does not answer: {error or type(error).__name__}; "
                "look whether it runs, and at yarn_resourcemanager_webapp_address of the connection"
            ) from error
        return answer


def last_lines(log_url: str, count: int = LAST_LINES, files: Iterable[str] = LOG_FILES) -> str:
    """The last lines of a container's files of log, from its NodeManager; a sentence when there are none."""
    node, separator, rest = log_url.partition("/node/containerlogs/")
    container = rest.partition("/")[0]
    read: list[str] = []
    for name in files if separator else ():
        read += _tail(f"{node}/ws/v1/node/containerlogs/{container}/{name}").splitlines()[-count:]
    return "\n".join(read) or f"no log of the container can be read at {log_url or 'any address'}"


def _tail(url: str) -> str:
    try:
        answer = httpx.get(url, params={"size": str(-LOG_BYTES)}, timeout=TIMEOUT_S)
    except httpx.HTTPError:
        return ""
    return _content(answer.text) if answer.is_success else ""


def _content(text: str) -> str:
    """A file without the frame that a NodeManager puts around it."""
    body = text.partition("\nLogContents:\n")[2]
    return body.partition("\nEnd of LogType:")[0]


def adopted(
    alive: list[Application], same: Callable[[Application], bool], manager: ResourceManager
) -> Application | None:
    """Of what an earlier try left running, that which does what is wanted now; the rest is ended."""
    kept = next((application for application in reversed(alive) if same(application)), None)
    for application in alive:
        if application is not kept:
            log.warning("ending %s, which an earlier try of this task has left", application.id)
            manager.kill(application.id)
    return kept
