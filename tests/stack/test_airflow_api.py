"""The client of Airflow's REST API: pages, waiting, retries, errors."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from millstream.errors import ClusterError, ConfigurationError
from millstream_stack.clients import airflow_api
from millstream_stack.clients.airflow_api import AirflowApi, Task, wait_for_dags

Answer = Callable[[httpx.Request], httpx.Response]
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


def run(number: int, state: str = "success") -> dict[str, Any]:
    return {
        "dag_id": "ingest_planes",
        "dag_run_id": f"manual__{number}",
        "state": state,
        "start_date": "2026-01-01T00:00:01Z",
        "end_date": None,
        "note": None,
    }


def api(answer: Answer) -> AirflowApi:
    def with_login(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/auth/token":
            return httpx.Response(201, json={"access_token": "a token"})
        assert request.headers["Authorization"] == "Bearer a token"
        return answer(request)

    return AirflowApi("http://airflow", "admin", "secret", transport=httpx.MockTransport(with_login))


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(airflow_api, "PAUSE_S", 0.0)


def test_all_pages_are_read() -> None:
    runs = [run(number) for number in range(205)]

    def answer(request: httpx.Request) -> httpx.Response:
        offset, limit = (int(request.url.params[name]) for name in ("offset", "limit"))
        return httpx.Response(200, json={"dag_runs": runs[offset : offset + limit], "total_entries": 205})

    found = api(answer).runs_since(MOMENT)

    assert [one.run_id for one in found] == [f"manual__{number}" for number in range(205)]


def test_lists_are_asked_with_get_only() -> None:
    """A POST would write an audit record on the server's event loop, and stall every task's requests."""
    methods = set()

    def answer(request: httpx.Request) -> httpx.Response:
        methods.add(request.method)
        return httpx.Response(200, json={"dag_runs": [], "task_instances": [], "total_entries": 0})

    client = api(answer)
    client.runs_since(MOMENT)
    client.active_runs()
    client.tasks_since(MOMENT)

    assert methods == {"GET"}


def test_a_server_that_is_slow_for_a_moment_is_asked_again() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if len(asked) < 3:
            raise httpx.ReadTimeout("timed out")
        return httpx.Response(200, json={"dag_runs": [run(1)], "total_entries": 1})

    assert len(api(answer).active_runs()) == 1


def test_a_question_that_the_server_could_not_answer_is_asked_again_a_demand_is_not() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.method)
        if len(asked) == 1 or request.method != "GET":
            return httpx.Response(500, text="database is locked")
        return httpx.Response(200, json={"assets": [], "total_entries": 0})

    client = api(answer)
    assert client.assets() == []
    with pytest.raises(ClusterError, match="500: database is locked"):
        client.tell(7, {})
    assert asked == ["GET", "GET", "POST"]


def test_a_run_is_never_triggered_twice() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        raise httpx.ReadTimeout("timed out")

    with pytest.raises(ClusterError, match="does not answer POST /api/v2/dags/ingest_planes/dagRuns"):
        api(answer).trigger("ingest_planes", {})

    assert len(asked) == 1


@pytest.mark.parametrize(("status", "detail"), [(401, "Token Expired"), (403, "Invalid JWT token")])
def test_a_login_that_is_over_is_made_again(status: int, detail: str) -> None:
    """The details as Airflow's own `get_user_from_token` gives them (airflow.api_fastapi, security.py)."""
    logins: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/auth/token":
            logins.append(f"Bearer token {len(logins)}")
            return httpx.Response(201, json={"access_token": logins[-1].removeprefix("Bearer ")})
        if request.headers["Authorization"] == "Bearer token 0":
            return httpx.Response(status, json={"detail": detail})
        return httpx.Response(200, json={"dag_runs": [run(1)], "total_entries": 1})

    client = AirflowApi("http://airflow", "admin", "secret", transport=httpx.MockTransport(answer))
    assert [one.run_id for one in client.runs_since(MOMENT)] == ["manual__1"]
    assert len(logins) == 2


def test_an_error_of_the_server_is_shown() -> None:
    with pytest.raises(ClusterError, match="with 409: a run with this id exists"):
        api(lambda _: httpx.Response(409, text="a run with this id exists")).trigger("ingest_planes", {})


def test_no_queued_events_is_an_answer_not_an_error() -> None:
    assert not api(lambda _: httpx.Response(404)).asset_events_wait_for("build_features")
    assert api(lambda _: httpx.Response(200, json={"total_entries": 1})).asset_events_wait_for(
        "build_features"
    )


def dags_answer(known: list[str], errors: dict[str, str]) -> Answer:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/importErrors"):
            found = [{"filename": name, "stack_trace": trace} for name, trace in errors.items()]
            return httpx.Response(200, json={"import_errors": found, "total_entries": len(found)})
        return httpx.Response(
            200, json={"dags": [{"dag_id": name} for name in known], "total_entries": len(known)}
        )

    return answer


def test_a_dag_file_that_does_not_load_is_reported_with_its_error() -> None:
    client = api(dags_answer([], {"ingest_planes.py": "ContractError: planes.yaml: columns: missing"}))

    with pytest.raises(ConfigurationError, match=r"ingest_planes\.py:\nContractError: planes\.yaml"):
        wait_for_dags(client, {"ingest_planes"}, timeout_s=0.0)


def test_a_file_that_took_too_long_to_read_is_waited_for() -> None:
    """Airflow reads it again: on a busy machine the next try passes."""
    errors = {"ingest_planes.py": "AirflowTaskTimeout: DagBag import timeout for ingest_planes.py after 30s"}
    known = dags_answer(["ingest_planes"], errors)
    asked = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += request.url.path.endswith("/importErrors")
        if asked > 1:
            errors.clear()
        return known(request)

    assert set(wait_for_dags(api(answer), {"ingest_planes"}, timeout_s=60.0)) == {"ingest_planes"}
    assert asked == 2
    errors["ingest_planes.py"] = "DagBag import timeout for ingest_planes.py"
    with pytest.raises(ClusterError, match="after 0 s: ingest_planes"):
        wait_for_dags(api(dags_answer([], errors)), {"ingest_planes"}, timeout_s=0.0)


def test_dags_that_never_appear_are_named() -> None:
    client = api(dags_answer(["ingest_planes"], {}))

    assert set(wait_for_dags(client, {"ingest_planes"}, timeout_s=0.0)) == {"ingest_planes"}
    with pytest.raises(ClusterError, match="after 0 s: ingest_flights"):
        wait_for_dags(client, {"ingest_planes", "ingest_flights"}, timeout_s=0.0)


def test_a_tasks_page_in_the_web_ui() -> None:
    task = Task("ingest_flights", "manual__1", "extract", 3, "failed", 1, None, None)

    address = api(lambda _: httpx.Response(500)).address(task)

    assert address == "http://airflow/dags/ingest_flights/runs/manual__1/tasks/extract/mapped/3"
