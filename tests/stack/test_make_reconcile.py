"""`make reconcile`: what it prints, what it tells Airflow, and when it asks for a person."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from millstream.settings import Settings
from millstream_stack.clients.airflow_api import AirflowApi
from millstream_stack.commands.reconcile import reconcile
from tests.support.ledger_tables import publish, write

ASSETS = [
    {"id": 7, "name": "silver.planes", "group": "lake"},
    {"id": 8, "name": "model.arrival_delay", "group": "models"},
]


class Airflow:
    """As much of Airflow's REST API as is asked, with the events of one asset."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.api = AirflowApi("http://airflow", "a", "b", transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        match request.method, request.url.path:
            case _, "/auth/token":
                return httpx.Response(201, json={"access_token": "a token"})
            case "GET", "/api/v2/assets":
                return httpx.Response(200, json={"assets": ASSETS, "total_entries": len(ASSETS)})
            case "GET", "/api/v2/assets/events":
                assert request.url.params["asset_id"] == "7"
                return httpx.Response(200, json={"asset_events": self.events, "total_entries": 1})
            case "POST", "/api/v2/assets/events":
                body = json.loads(request.content)
                assert body["asset_id"] == 7
                self.events.append({"extra": body["extra"], "source_run_id": None})
                return httpx.Response(200, json=self.events[-1])
        return httpx.Response(404)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(lake_root=f"file://{tmp_path}/lake")


def reconciled(settings: Settings, airflow: Airflow) -> tuple[bool, str]:
    screen = io.StringIO()
    fine = reconcile(settings, airflow.api, Console(file=screen, width=200))
    return fine, screen.getvalue()


def test_a_lost_event_is_told_once_and_then_all_agree(settings: Settings) -> None:
    airflow = Airflow()
    version = publish(settings.lake_root, "silver.planes", "r1", read=5, quarantined=1)
    fine, printed = reconciled(settings, airflow)
    assert fine
    assert "its consumers do not know it" in printed
    assert "told the readers of silver.planes again" in printed
    (event,) = airflow.events
    assert (event["extra"]["version"], event["extra"]["written"], event["extra"]["repaired"]) == (
        version,
        4,
        True,
    )

    fine, printed = reconciled(settings, airflow)
    assert fine
    assert "agree" in printed
    assert len(airflow.events) == 1


def test_what_no_event_repairs_asks_for_a_person(settings: Settings) -> None:
    airflow = Airflow()
    version = publish(settings.lake_root, "silver.planes", "r1", read=5)
    airflow.events.append({"extra": {"version": version, "changed": True}, "source_run_id": "r1"})
    write(settings.lake_root, "silver.planes", 3)
    fine, printed = reconciled(settings, airflow)
    assert not fine
    assert "was made by WRITE, not by a publish" in printed
    assert "a person" in printed
    assert len(airflow.events) == 1
