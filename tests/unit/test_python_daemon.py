"""The daemon of an executor's Python workers, as Spark starts it: it stays while it has one, then ends."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from zipfile import ZipFile

import psutil
import pytest

from tests.support.waiting import until

PROGRAM = """
from millstream.engines import python_daemon
python_daemon.IDLE_S, python_daemon.LOOK_S = 0.5, 0.05
python_daemon.main()
"""
START_S = 60.0


@pytest.fixture
def daemon() -> Iterator[subprocess.Popen[bytes]]:
    # What it is asked to do comes by its standard input, which Spark leaves open.
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "pyspark.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    yield process
    process.kill()
    process.wait(30)


def port_of(daemon: subprocess.Popen[bytes]) -> int:
    """It says first where it listens."""
    stream: IO[bytes] | None = daemon.stdout
    assert stream is not None
    return int.from_bytes(stream.read(4), "big")


def test_it_ends_when_it_has_had_no_worker_for_a_while(daemon: subprocess.Popen[bytes]) -> None:
    assert port_of(daemon) > 0
    daemon.wait(START_S)


def test_it_stays_while_it_has_a_worker(daemon: subprocess.Popen[bytes]) -> None:
    process = psutil.Process(daemon.pid)
    # The worker waits for the secret that Spark would send.
    with socket.create_connection(("127.0.0.1", port_of(daemon))):
        until(lambda: bool(process.children()), START_S, "a worker")
        with pytest.raises(subprocess.TimeoutExpired):
            daemon.wait(2)
        assert process.children()
    daemon.wait(START_S)


SENT = """
import pyspark.daemon, runpy, sys
def manager():
    # As a worker does with what its session has sent.
    sys.path.insert(1, sys.argv[1])
    import millstream
    print(millstream.__file__)
pyspark.daemon.manager = manager
sys.argv = ["python_daemon", sys.argv[1]]
runpy.run_module("millstream.engines.python_daemon", run_name="__main__")
"""


def test_its_workers_take_the_code_that_their_session_has_sent(tmp_path: Path) -> None:
    """Not that of the machine, which may be older."""
    with ZipFile(tmp_path / "sent.zip", "w") as sent:
        sent.writestr("millstream/__init__.py", "")
    answer = subprocess.run(
        [sys.executable, "-c", SENT, str(tmp_path / "sent.zip")],
        check=True,
        capture_output=True,
        text=True,
        timeout=START_S,
    )
    assert answer.stdout.strip() == f"{tmp_path}/sent.zip/millstream/__init__.py"
