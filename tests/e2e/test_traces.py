"""What a run leaves for people to follow: links on its tasks, and lineage with table versions."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote, urljoin

import httpx
import pytest

from millstream.lake import history
from millstream.lake.tables import TableRef
from millstream.settings import Settings
from millstream_stack.clients.airflow_api import Task
from millstream_stack.credentials import load_or_create
from tests.support.airflow_user import AirflowUser
from tests.support.carried import EVER, newest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def tasks(api: AirflowUser) -> dict[str, Task]:
    _, found = newest(api, "ingest_airlines")
    return {task.task_id: task for task in found}


def test_every_spark_task_links_to_its_session(api: AirflowUser, tasks: dict[str, Task]) -> None:
    for name in ("load_bronze", "transform", "quality_gate", "publish"):
        page = httpx.get(api.links(tasks[name])["Spark"], timeout=60)
        assert page.is_success
        # The session's page lists the queries that ran in it.
        assert "Session ID" in page.text, name
        assert "Request Statistics" in page.text, name


def test_the_gate_links_to_its_page_of_data_docs(
    api: AirflowUser, tasks: dict[str, Task], settings: Settings
) -> None:
    link = api.links(tasks["quality_gate"])["Data Docs"]
    assert httpx.get(link, timeout=60).status_code == httpx.codes.UNAUTHORIZED
    credentials = load_or_create(settings)
    login = {"username": credentials.airflow_user, "password": credentials.airflow_password}
    token = httpx.post(f"{settings.airflow_url}/auth/token", json=login, timeout=60).json()["access_token"]
    page = httpx.get(link, headers={"Authorization": f"Bearer {token}"}, timeout=60)
    assert page.is_success
    assert "silver.airlines" in page.text
    # And back to the run.
    (there,) = re.findall(r'href="([^"]+/runs/[^"]+)"', page.text)
    run = quote(tasks["quality_gate"].run_id, safe="")
    assert urljoin(link, there) == f"{settings.airflow_url}/dags/ingest_airlines/runs/{run}"


def test_lineage_names_tables_with_their_versions(settings: Settings, tasks: dict[str, Task]) -> None:
    events = _completed(settings, "ingest_airlines.publish")
    assert events
    version = history.version(TableRef.parse("silver.airlines"), settings.lake_root)
    (silver,) = events[-1]["outputs"]
    assert silver["name"].endswith("/lake/silver/airlines")
    assert silver["namespace"] == "file"
    assert silver["facets"]["version"]["datasetVersion"] == str(version)
    bronze = history.version(TableRef.parse("bronze.airlines"), settings.lake_root)
    assert {one["name"].rpartition("/lake/")[2]: one["facets"]["version"]["datasetVersion"]
            for one in events[-1]["inputs"]} == {"bronze/airlines": str(bronze)}  # fmt: skip


def test_a_job_says_in_lines_what_it_has_done(api: AirflowUser, tasks: dict[str, Task]) -> None:
    said = [str(entry["event"]) for entry in api.log(tasks["publish"])]
    assert "rows: 16 read = 16 written + 0 quarantined + 0 deduplicated + 0 dropped" in said
    assert "verdict: passed" in said
    assert not [line for line in said if line.startswith(("{", "result: "))]


def test_nothing_is_red_in_a_task_that_succeeded(api: AirflowUser, tasks: dict[str, Task]) -> None:
    """In none of this stack so far: ingests, and what other tests have trained and asked."""
    found = [task for task in api.tasks_since(EVER) if task.state == "success"]
    assert len(found) >= len(tasks)
    red = {
        f"{task.label}: {entry['event']}"
        for task in found
        for entry in api.log(task)
        if entry.get("level") in ("error", "critical")
    }
    assert red == set()


def test_no_event_carries_a_password(settings: Settings, tasks: dict[str, Task]) -> None:
    credentials = load_or_create(settings)
    written = (settings.home / "lineage" / "events.jsonl").read_text()
    assert settings.lake_root.removeprefix("file://") in written
    for secret in (credentials.airflow_password, credentials.mlflow_password):
        assert secret not in written


def _completed(settings: Settings, job: str) -> list[dict[str, Any]]:
    lines = (settings.home / "lineage" / "events.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    return [event for event in events if event["job"]["name"] == job and event["eventType"] == "COMPLETE"]
