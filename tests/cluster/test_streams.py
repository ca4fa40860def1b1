"""The profile `streams`, as the documentation has it: a day of events to the lake on HDFS, and its alerts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import httpx
import pytest

from millstream_demo.flight_events import Event, events_of
from millstream_stack.cluster.streams import DAY
from tests.support.compose import Cluster
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(1800)

PROFILE = "streams"
SERVICES = ("stream-flights", "stream-alerts", "streams-setup", "kafka")
EVENTS_TIMEOUT_S, SILVER_TIMEOUT_S = 300.0, 300.0
SAID = """
import json
from millstream.settings import Settings
from millstream.streams import alert_snapshot, snapshot
root = Settings().lake_root
shown = [one and json.loads(one.model_dump_json()) for one in (
    snapshot.read(root, "flight_events"), alert_snapshot.read(root, "flight_events"))]
print(json.dumps(shown))
"""
ROWS = """
import json
from deltalake import DeltaTable
from millstream.lake.tables import TableRef
from millstream.settings import Settings
table = DeltaTable(TableRef(zone="silver", name="flight_events").uri(Settings().lake_root))
rows = table.to_pyarrow_table(columns=["event_id"]).to_pylist()
print(json.dumps({"ids": [row["event_id"] for row in rows], "files": table.file_uris()}))
"""


@pytest.fixture(scope="module")
def streams(cluster: Cluster) -> Iterator[Cluster]:
    cluster.up(profile=PROFILE)
    yield cluster
    cluster.compose("--profile", PROFILE, "rm", "--stop", "--force", *SERVICES)


def said(cluster: Cluster) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the stream and its alerts say of themselves in the lake."""
    stream, alerts = cluster.python("airflow-worker", SAID)
    return stream, alerts


def is_an_alert(event: Event) -> bool:
    """By the two conditions of the contract, without its code."""
    value = event.value
    return value["event_type"] == "cancelled" or (
        value["event_type"] == "departed" and float(value["dep_delay"]) >= 60
    )


def test_a_day_of_events_is_in_silver_each_once_and_its_alerts_were_sent(streams: Cluster) -> None:
    sent = events_of(date.fromisoformat(DAY))
    streams.compose("run", "--rm", "-T", "demo-events", timeout_s=EVENTS_TIMEOUT_S)
    until(lambda: said(streams)[0]["written"] >= len(sent), SILVER_TIMEOUT_S, "the day in silver")
    silver = streams.python("airflow-worker", ROWS)
    assert sorted(silver["ids"]) == sorted(event.event_id for event in sent)
    assert all(file.startswith("hdfs://namenode:8020/lake/silver/") for file in silver["files"])
    raised = sum(map(is_an_alert, sent))
    assert raised
    until(lambda: said(streams)[1]["sent"] >= raised, SILVER_TIMEOUT_S, "the day's alerts")
    stream, alerts = said(streams)
    assert (stream["state"], alerts["state"], alerts["sent"]) == ("running", "running", raised)


def test_the_page_of_streams_shows_the_day(streams: Cluster) -> None:
    url = f"http://127.0.0.1:{streams.ports['MILLSTREAM_AIRFLOW_PORT']}"
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        login = {"username": "admin", "password": streams.secret("airflow_admin_password")}
        token = client.post("/auth/token", json=login).raise_for_status().json()["access_token"]
        page = client.get("/millstream/streams/", headers={"Authorization": f"Bearer {token}"})
    shown = page.raise_for_status().text
    assert "No stream has begun" not in shown
    assert "flight_events" in shown
