"""A small client of Airflow's REST API (v2), logged in as a person would be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    retry_if_result,
    retry_never,
    stop_after_attempt,
    wait_fixed,
)

from millstream.errors import ClusterError, ConfigurationError

PAGE = 100
# The server shares a small machine with the jobs, and may be slow to answer while they are busy.
TIMEOUT_S = 60.0
ATTEMPTS = 5
PAUSE_S = 2.0
ACTIVE = ("queued", "running")
# Of a DAG file that took too long, as on a busy machine: Airflow reads it again.
IMPORT_TIMEOUT = "DagBag import timeout for"


@dataclass(frozen=True)
class Run:
    """One DAG run; `note` says what it did, once it has ended."""

    dag_id: str
    run_id: str
    state: str
    started: datetime | None
    ended: datetime | None
    note: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return self.dag_id, self.run_id

    @property
    def active(self) -> bool:
        return self.state in ACTIVE


@dataclass(frozen=True)
class Task:
    """One task instance; `map_index` is -1 for a task that is not mapped, `host` the machine it runs on."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    state: str
    try_number: int
    started: datetime | None
    ended: datetime | None
    host: str = ""

    @property
    def key(self) -> tuple[str, str, str, int]:
        return self.dag_id, self.run_id, self.task_id, self.map_index

    @property
    def label(self) -> str:
        mapped = f"[{self.map_index}]" if self.map_index >= 0 else ""
        return f"{self.dag_id}.{self.task_id}{mapped}"


class AirflowApi:
    """Raises ClusterError when the server does not answer, or answers with an error."""

    def __init__(
        self, url: str, user: str, password: str, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.url = url
        self._client = httpx.Client(base_url=url, timeout=TIMEOUT_S, trust_env=False, transport=transport)
        self._login = {"username": user, "password": password}
        self._log_in()

    def __enter__(self) -> AirflowApi:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def _log_in(self) -> None:
        self._client.headers.pop("Authorization", None)
        token = self._request("POST", "/auth/token", json=self._login)
        self._client.headers["Authorization"] = f"Bearer {token['access_token']}"

    def _request(self, method: str, path: str, *, repeatable: bool = True, **arguments: Any) -> Any:
        answer = self._answer(method, path, repeatable=repeatable, **arguments)
        if answer.is_error:
            raise ClusterError(
                f"Airflow answered {method} {path} with {answer.status_code}: {answer.text[:500]}"
            )
        return answer.json()

    def _answer(self, method: str, path: str, *, repeatable: bool = True, **arguments: Any) -> httpx.Response:
        answer = self._send(method, path, repeatable, arguments)
        if _login_is_over(answer):
            self._log_in()
            answer = self._send(method, path, repeatable, arguments)
        return answer

    def _send(self, method: str, path: str, repeatable: bool, arguments: dict[str, Any]) -> httpx.Response:
        # A question may be asked again when the server could not answer it, as when its database was locked.
        again = Retrying(
            retry=(retry_if_exception_type(httpx.TransportError) if repeatable else retry_never)
            | retry_if_result(lambda answer: method == "GET" and answer.is_server_error),
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_fixed(PAUSE_S),
            retry_error_callback=_last,
        )
        try:
            answer: httpx.Response = again(self._client.request, method, path, **arguments)
        except httpx.HTTPError as error:
            raise ClusterError(
                f"Airflow at {self.url} does not answer {method} {path}: {error}; `make status` shows "
                "whether it is up, `make up` starts it"
            ) from error
        return answer

    def _pages(self, path: str, field: str, **query: Any) -> Iterable[dict[str, Any]]:
        """Every entry of a paged answer.

        Lists are always asked with GET: for each POST the server writes an audit record on its event loop,
        which stands still while a task's own write holds SQLite's lock (measured: 60 s, all tasks lost).
        """
        offset = 0
        while True:
            page = self._request("GET", path, params={**query, "limit": PAGE, "offset": offset})
            yield from page[field]
            offset += PAGE
            if offset >= page["total_entries"]:
                return

    def dags(self) -> dict[str, dict[str, Any]]:
        """Every DAG by its id."""
        return {dag["dag_id"]: dag for dag in self._pages("/api/v2/dags", "dags", exclude_stale=True)}

    def import_errors(self) -> dict[str, str]:
        """For each DAG file that does not load, its error."""
        errors = self._pages("/api/v2/importErrors", "import_errors")
        return {error["filename"]: error["stack_trace"] for error in errors}

    def unpause(self, dag_id: str) -> None:
        self._request("PATCH", f"/api/v2/dags/{dag_id}", json={"is_paused": False})

    def pause(self, dag_id: str) -> None:
        """No event and no schedule starts it until it is unpaused."""
        self._request("PATCH", f"/api/v2/dags/{dag_id}", json={"is_paused": True})

    def reread(self, file_token: str) -> None:
        """Has the DAG processor read the file of a DAG next; its token is in the DAG's description."""
        self._request("PUT", f"/api/v2/parseDagFile/{file_token}")

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> Run:
        """Starts a run by hand as the button in the web UI does, whose form has now as the logical date."""
        body = {"logical_date": datetime.now(UTC).isoformat(), "conf": conf}
        path = f"/api/v2/dags/{dag_id}/dagRuns"
        # Asked twice it would start two runs.
        return _run(self._request("POST", path, repeatable=False, json=body))

    def runs_since(self, moment: datetime) -> list[Run]:
        """Runs that became due at or after `moment`, oldest first."""
        since = moment.isoformat()
        pages = self._pages("/api/v2/dags/~/dagRuns", "dag_runs", run_after_gte=since, order_by="run_after")
        return [_run(run) for run in pages]

    def active_runs(self) -> list[Run]:
        return [_run(run) for run in self._pages("/api/v2/dags/~/dagRuns", "dag_runs", state=list(ACTIVE))]

    def tasks_since(self, moment: datetime) -> list[Task]:
        """Every task instance of the runs that became due at or after `moment`."""
        path = "/api/v2/dags/~/dagRuns/~/taskInstances"
        pages = self._pages(path, "task_instances", run_after_gte=moment.isoformat(), order_by="id")
        return [_task(task) for task in pages]

    def assets(self) -> list[dict[str, Any]]:
        return list(self._pages("/api/v2/assets", "assets"))

    def asset_events(self, asset_id: int) -> list[dict[str, Any]]:
        """Every event of an asset, oldest first."""
        return list(
            self._pages("/api/v2/assets/events", "asset_events", asset_id=asset_id, order_by="timestamp")
        )

    def set_off_since(self, moment: datetime) -> list[tuple[tuple[str, str], tuple[str, str]]]:
        """Which run has set off which other by an asset event, since `moment`: their keys."""
        events = self._pages("/api/v2/assets/events", "asset_events", timestamp_gte=moment.isoformat())
        return [
            ((event["source_dag_id"], event["source_run_id"]), (run["dag_id"], run["run_id"]))
            for event in events
            for run in event["created_dagruns"]
        ]

    def tell(self, asset_id: int, extra: dict[str, Any]) -> None:
        """Makes an event of the asset, as a task that publishes it does."""
        self._request("POST", "/api/v2/assets/events", json={"asset_id": asset_id, "extra": extra})

    def asset_events_wait_for(self, dag_id: str) -> bool:
        """Whether the DAG has asset events from which no run has been made yet."""
        answer = self._answer("GET", f"/api/v2/dags/{dag_id}/assets/queuedEvents")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return False
        if answer.is_error:
            raise ClusterError(f"Airflow does not tell the queued events of {dag_id}: {answer.text[:300]}")
        return bool(answer.json()["total_entries"])

    def log(self, task: Task) -> list[dict[str, Any]]:
        """The structured log lines of the task's last try."""
        path = (
            f"/api/v2/dags/{task.dag_id}/dagRuns/{task.run_id}/taskInstances/{task.task_id}"
            f"/logs/{max(task.try_number, 1)}"
        )
        answer = self._request(
            "GET", path, params={"map_index": task.map_index, "full_content": True},
            headers={"Accept": "application/json"},
        )  # fmt: skip
        return [line if isinstance(line, dict) else {"event": str(line)} for line in answer["content"]]

    def address(self, task: Task) -> str:
        """The task's page in the web UI."""
        mapped = f"/mapped/{task.map_index}" if task.map_index >= 0 else ""
        return f"{self.url}/dags/{task.dag_id}/runs/{task.run_id}/tasks/{task.task_id}{mapped}"


def wait_for_dags(api: AirflowApi, expected: set[str], timeout_s: float) -> dict[str, dict[str, Any]]:
    """Every expected DAG, once Airflow has read all their files.

    Raises:
        ConfigurationError: a DAG file does not load; carries Airflow's own import error.
        ClusterError: DAGs are missing, and nothing has changed for `timeout_s` seconds.
    """
    import time

    last_change, last_seen = time.monotonic(), ""
    while True:
        errors = api.import_errors()
        slow = {file for file, trace in errors.items() if IMPORT_TIMEOUT in trace}
        if broken := errors.keys() - slow:
            text = "\n\n".join(f"{file}:\n{errors[file].strip()}" for file in sorted(broken))
            raise ConfigurationError(f"Airflow cannot load these DAG files:\n{text}")
        known = api.dags()
        missing = expected - set(known)
        if not missing and not slow:
            return known
        seen = repr((sorted(missing), sorted(slow)))
        if seen != last_seen:
            last_change, last_seen = time.monotonic(), seen
        if time.monotonic() - last_change >= timeout_s:
            raise ClusterError(
                f"Airflow does not know these DAGs after {timeout_s:.0f} s: "
                f"{', '.join(sorted(missing or slow))}; see `make logs S=airflow-dag-processor`"
            )
        time.sleep(1)


def _login_is_over(answer: httpx.Response) -> bool:
    """Whether the login's token is too old or, after the server's clock was set back, too young."""
    if "Authorization" not in answer.request.headers:
        return False
    return answer.status_code == httpx.codes.UNAUTHORIZED or (
        answer.status_code == httpx.codes.FORBIDDEN and "Invalid JWT token" in answer.text
    )


def _last(state: RetryCallState) -> Any:
    """What the last attempt gave: its answer, or its error."""
    assert state.outcome is not None
    return state.outcome.result()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _run(data: dict[str, Any]) -> Run:
    return Run(
        data["dag_id"],
        data["dag_run_id"],
        data["state"],
        _moment(data["start_date"]),
        _moment(data["end_date"]),
        data["note"] or "",
    )


def _task(data: dict[str, Any]) -> Task:
    return Task(
        data["dag_id"],
        data["dag_run_id"],
        data["task_id"],
        data["map_index"],
        data["state"] or "waiting",
        data["try_number"],
        _moment(data["start_date"]),
        _moment(data["end_date"]),
        data["hostname"] or "",
    )
