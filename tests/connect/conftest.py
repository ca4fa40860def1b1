"""A Spark Connect server of the tests' own, started as the stack starts it."""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
from collections.abc import Iterator

import pytest
from pyspark.sql.connect.client import SparkConnectClient

from millstream.settings import CHECKOUT, Settings
from millstream_stack.services.lake_claim import scratch_path
from millstream_stack.services.spark_server import spark_connect_command, write_spark_properties
from tests.support import jvm
from tests.support.loopback import free_ports
from tests.support.waiting import until

UP_TIMEOUT_S = 180.0


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a running server; its lake is empty."""
    home = tmp_path_factory.mktemp("connect")
    settings = Settings(
        root=CHECKOUT,
        home=home,
        lake_root=f"file://{home}/lake",
        spark_driver_memory="1500m",
        **free_ports("connect_port", "spark_ui_port"),
    )
    for folder in ("spark", "spark-events"):
        (home / folder).mkdir()
    left_over = scratch_path(home) / "blockmgr-of-a-killed-server"
    left_over.mkdir(parents=True)
    (left_over / "shuffle.data").write_bytes(bytes(1000))
    write_spark_properties(settings)
    jvm.shorten(settings)
    with (home / "server.log").open("wb") as log:
        process = subprocess.Popen(
            spark_connect_command(settings),
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "SPARK_LOCAL_IP": "127.0.0.1"},
            start_new_session=True,
        )
    try:
        _wait_for_port(settings.connect_port, process)
        yield settings
        # An open client would call the server for minutes when the tests' process ends.
        clients = [found for found in gc.get_objects() if isinstance(found, SparkConnectClient)]
        assert clients
        assert all(client.is_closed for client in clients)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)


def _wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    def answers() -> bool:
        assert process.poll() is None, "the Connect server ended before it was up"
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", port)) == 0

    until(answers, UP_TIMEOUT_S, "the Connect server")
