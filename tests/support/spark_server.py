"""The stack's Spark Connect server, for tests that talk to it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyspark.sql import SparkSession

from millstream.engines import sessions
from millstream.settings import CHECKOUT, Settings
from millstream_stack.services.spark_server import spark_connect_command, write_spark_properties
from millstream_stack.services.stream_process import write_stream_properties
from tests.support.loopback import free_ports
from tests.support.waiting import until

UP_TIMEOUT_S = 180.0
END_TIMEOUT_S = 30.0


@contextmanager
def running(settings: Settings) -> Iterator[None]:
    """The server while it is used; its properties are written already."""
    with (settings.home / "server.log").open("wb") as log:
        process = subprocess.Popen(
            spark_connect_command(settings),
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "SPARK_LOCAL_IP": settings.host},
            start_new_session=True,
        )
    try:
        until(lambda: _answers(settings, process), UP_TIMEOUT_S, "the Connect server")
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(END_TIMEOUT_S)


@contextmanager
def connected(home: Path) -> Iterator[tuple[Settings, SparkSession]]:
    """A server with the stack's own properties, those of a stream beside them, and a session with it."""
    ports = free_ports("connect_port", "spark_ui_port")
    settings = Settings(root=CHECKOUT, home=home, lake_root=f"file://{home}/lake", **ports)
    for folder in ("spark", "spark-events", "tmp"):
        (home / folder).mkdir()
    write_spark_properties(settings)
    write_stream_properties(settings)
    with running(settings), sessions.connect(settings.connect_url, str(home), [], tag="test") as spark:
        yield settings, spark


def _answers(settings: Settings, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "the Connect server ended before it was up"
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((settings.host, settings.connect_port)) == 0
