"""What closed sessions leave on the server: a Python daemon each, for as long as it lives."""

from __future__ import annotations

import time

import psutil
import pytest

from millstream.engines import sessions
from millstream.settings import Settings
from millstream_stack.services.idle_daemons import idle_daemons
from millstream_stack.services.spark_server import SERVER_CLASS, properties_path
from millstream_stack.supervision.processes import end

# Spark ends workers that have had nothing to do for a minute; it looks every ten seconds.
WORKERS_GONE_S = 180.0


def process_of(server: Settings) -> psutil.Process:
    wanted = {SERVER_CLASS, str(properties_path(server))}
    (found,) = [child for child in psutil.Process().children() if wanted <= set(child.cmdline())]
    return found


@pytest.mark.thorough
def test_an_idle_daemon_is_ended_and_its_session_starts_another(server: Settings) -> None:
    process = process_of(server)
    before = {child.pid for child in process.children()}
    with sessions.connect(server.connect_url, "idle/1", [], tag="idle") as spark:
        # A function without a name travels by value: the server cannot import this file.
        rows = spark.range(10).mapInArrow(lambda batches: batches, "id long")
        assert len(rows.collect()) == 10
        (daemon,) = [child for child in process.children() if child.pid not in before]
        assert daemon not in idle_daemons(process)

        deadline = time.monotonic() + WORKERS_GONE_S
        while daemon not in (idle := idle_daemons(process, least_age_s=0)):
            assert time.monotonic() < deadline, "its workers did not end"
            time.sleep(0.5)
        end(idle)
        assert not daemon.is_running()
        assert len(rows.collect()) == 10
