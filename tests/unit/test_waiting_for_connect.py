"""A Connect server that is being started again is waited for, where its connection says so."""

from __future__ import annotations

import json
import logging
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from airflow.sdk import Connection

from millstream.engines import sessions
from millstream.errors import ConfigurationError
from millstream_airflow.engines.spark_connect import Engine
from tests.support.waiting import until

LONGEST_S = 60.0


def test_it_is_waited_for_and_the_log_says_so_at_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger=sessions.__name__)
    with socket.socket() as server, ThreadPoolExecutor(1) as threads:
        server.bind(("127.0.0.1", 0))
        waiting = threads.submit(sessions.wait_for, f"sc://127.0.0.1:{server.getsockname()[1]}", LONGEST_S)
        until(lambda: bool(caplog.messages), LONGEST_S, "a word of it")
        assert not waiting.done()
        server.listen()
        waiting.result(LONGEST_S)
    [said] = caplog.messages
    assert "does not answer" in said
    assert said.endswith("Waiting for it for up to 60 s.")


def test_one_that_stays_away_is_not_waited_for_longer() -> None:
    began = time.monotonic()
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        sessions.wait_for(f"sc://127.0.0.1:{reserved.getsockname()[1]}", 1)
    assert 1 <= time.monotonic() - began < LONGEST_S


@pytest.mark.parametrize("given", [-1, 4000, "60", True])
def test_a_wait_that_is_none_is_refused(given: object) -> None:
    connection = Connection(conn_id="c", conn_type="spark_connect", extra=json.dumps({"wait_seconds": given}))
    with pytest.raises(ConfigurationError, match="connection c: wait_seconds in its extra is"):
        Engine(connection)._wait_seconds()
