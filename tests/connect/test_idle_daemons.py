"""What sessions leave on the server: a Python daemon each, which ends when it has nothing to do."""

from __future__ import annotations

import psutil
import pytest

from millstream.engines import sessions
from millstream.settings import Settings
from millstream_stack.services.spark_server import SERVER_CLASS, properties_path
from tests.support.waiting import until

# Spark ends workers that have had nothing to do for a minute, and the daemon ends half a minute later.
GONE_S = 240.0


def process_of(server: Settings) -> psutil.Process:
    wanted = {SERVER_CLASS, str(properties_path(server))}
    (process,) = [child for child in psutil.Process().children() if wanted <= set(child.cmdline())]
    return process


@pytest.mark.thorough
def test_an_idle_daemon_ends_and_its_session_starts_another(server: Settings) -> None:
    process = process_of(server)
    before = {child.pid for child in process.children()}
    with sessions.connect(server.connect_url, "idle/1", [], tag="idle") as spark:
        # A function without a name travels by value: the server cannot import this file.
        rows = spark.range(10).mapInArrow(lambda batches: batches, "id long")
        assert len(rows.collect()) == 10
        (daemon,) = [child for child in process.children() if child.pid not in before]
        assert "millstream.engines.python_daemon" in daemon.cmdline()

        until(lambda: not daemon.is_running(), GONE_S, "its end")
        assert len(rows.collect()) == 10
