"""The whole ingest chain on HDFS with Spark on YARN, which publishes what it publishes on one machine."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from deltalake import DeltaTable

from millstream.engines.yarn import Application
from millstream.lake.storage import Storage
from millstream.lake.tables import TableRef
from millstream.settings import CHECKOUT, Settings
from millstream_stack.services.spark_server import (
    spark_connect_command,
    write_spark_properties,
)
from tests.support.chain import contract_of, suite_of
from tests.support.hadoop import Yarn, answers
from tests.support.loopback import free_ports
from tests.support.real_months import FLIGHTS, MONTHS, months
from tests.support.submitted_chain import SubmittedChain
from tests.support.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]

UP_TIMEOUT_S = 300.0
IDLE_TIMEOUT_S = 600.0
JOBS = ("load_bronze", "transform", "quality_gate", "publish")


def run_chain(folder: Path, root: str, conn_id: str) -> str:
    """The months through landing, bronze, silver, gate and publish; returns the hash of what is there."""
    folder.mkdir()
    chain = SubmittedChain(folder, contract_of("flights"), suite_of("flights"), root, conn_id)
    for month, content in months().items():
        chain.put(f"flights/flights_{month}.csv.zip", content)
    chain.land("r1", MONTHS)
    staged = chain.stage("r1")
    # By the months the suite knows how many rows to expect.
    chain.judge("r1", staged, MONTHS)
    assert chain.publish("r1", staged, MONTHS)["changed"]
    rows = sorted(map(repr, DeltaTable(chain.table.uri(root)).to_pyarrow_table().to_pylist()))
    assert len(rows) == FLIGHTS
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def applications(yarn: Yarn) -> dict[str, Application]:
    answer: dict[str, Any] = httpx.get(f"{yarn.web}/ws/v1/cluster/apps", timeout=10).json()
    known = map(Application.of, (answer["apps"] or {}).get("app", []))
    return {application.id: application for application in known}


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same months on one machine."""
    folder = tmp_path_factory.mktemp("embedded")
    root = f"file://{folder}/lake"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MILLSTREAM_LAKE_ROOT", root)
        local = {"conn_type": "spark", "host": "local[2]", "extra": {"deploy-mode": "client"}}
        patch.setenv("AIRFLOW_CONN_LOCAL", json.dumps(local))
        return run_chain(folder / "chain", root, "local")


@pytest.fixture
def server(yarn: Yarn, lake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A Connect server whose executors are on YARN; the connection `connect` sends our code there."""
    settings = Settings(
        root=CHECKOUT,
        home=tmp_path / "home",
        lake_root=lake,
        spark_profile="yarn",
        spark_driver_memory="1g",
        event_log_root=f"{lake}-events",
        **free_ports("connect_port", "spark_ui_port"),
    )
    (settings.home / "spark").mkdir(parents=True)
    Storage(settings.event_log_root).write("ready", b"")
    write_spark_properties(settings)
    with (settings.home / "server.log").open("wb") as log:
        process = subprocess.Popen(
            spark_connect_command(settings), stdout=log, stderr=log, start_new_session=True
        )
    try:
        until(lambda: answers(settings.connect_port), UP_TIMEOUT_S, "the Connect server")
        value = {"conn_type": "spark_connect", "host": "127.0.0.1", "port": settings.connect_port}
        monkeypatch.setenv("AIRFLOW_CONN_CONNECT", json.dumps({**value, "extra": {"send_code": True}}))
        yield settings
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def test_over_connect_with_executors_on_yarn(
    yarn: Yarn, lake: str, embedded: str, server: Settings, tmp_path: Path
) -> None:
    before = applications(yarn)
    assert run_chain(tmp_path / "chain", lake, "connect") == embedded
    assert on_hdfs(lake)
    # The server is an application of YARN, and all tasks ran in the containers that it has there.
    [ours] = [one for one in applications(yarn).values() if one.alive]
    assert applications(yarn).keys() == before.keys()
    api = f"http://127.0.0.1:{server.spark_ui_port}/api/v1/applications/{ours.id}/allexecutors"
    tasks = {one["id"]: one["totalTasks"] for one in httpx.get(api, timeout=10).json()}
    assert tasks.pop("driver") == 0
    assert sum(tasks.values()) > 0
    # With nothing to do it keeps one executor, whatever shuffles and cached tables are in the others: a job
    # in cluster mode would wait for their memory for ever.
    assert len(tasks) > 1, "it has never had two"
    kept = 2

    def only_kept() -> bool:
        now = applications(yarn)[ours.id]
        assert now.alive, now.diagnostics
        return now.has == kept

    until(only_kept, IDLE_TIMEOUT_S, "the end of idle executors")


def test_by_submissions_in_cluster_mode(
    yarn: Yarn, lake: str, connection: str, embedded: str, tmp_path: Path
) -> None:
    before = applications(yarn)
    assert run_chain(tmp_path / "chain", lake, connection) == embedded
    assert on_hdfs(lake)
    ours = [one for known, one in applications(yarn).items() if known not in before]
    assert [(one.state, one.succeeded) for one in ours] == [("FINISHED", True)] * len(JOBS)
    assert [Storage(lake).list(folder) for folder in ("submissions", "outcomes")] == [[], []]


def on_hdfs(lake: str) -> bool:
    uris = DeltaTable(TableRef(zone="silver", name="flights").uri(lake)).file_uris()
    return bool(uris) and all(uri.startswith("hdfs://") for uri in uris)
