"""One stack a lake: the claim lives as long as the process that holds it, whatever that has become."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from millstream.errors import LakeWriterError
from millstream.lake.storage import Storage
from millstream.settings import Settings
from millstream_stack.services.lake_claim import claim, empty, owner, scratch_path
from millstream_stack.services.spark_server import spark_connect_command
from millstream_stack.supervision.lifecycle import status, up

Start = Callable[[str], subprocess.Popen[str]]

READY = "import time; print('ready', flush=True); time.sleep(600)"
# By way of a shell, as spark-submit does it, to a server with a child that outlives it.
SERVER = ("bash", "-c", 'sleep 600 & echo "child $!"; exec "$0" -c "$1"', sys.executable, READY)


@pytest.fixture
def lake(tmp_path: Path) -> str:
    return f"file://{tmp_path}/lake"


@pytest.fixture
def start(lake: str) -> Iterator[Start]:
    """Starts a server on the lake, as of the stack in a home."""
    with ExitStack() as ending:

        def started(home: str) -> subprocess.Popen[str]:
            command = (sys.executable, "-m", "millstream_stack.services.lake_claim", lake, home, *SERVER)
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
            )
            ending.callback(process.communicate)
            ending.callback(kill_all, process)
            return process

        yield started


def kill_all(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)


def child_of(process: subprocess.Popen[str]) -> psutil.Process:
    """The child, once the server is ready."""
    assert process.stdout is not None
    child = psutil.Process(int(process.stdout.readline().removeprefix("child ")))
    assert process.stdout.readline() == "ready\n"
    return child


def test_a_second_server_is_told_who_has_the_lake_and_what_to_do(lake: str, start: Start) -> None:
    first = start("/somewhere/.millstream")
    child_of(first)

    for refused in (
        lambda: Storage(lake).require_unclaimed("me"),
        lambda: claim(lake, "/elsewhere", wait_s=0),
    ):
        with pytest.raises(LakeWriterError) as error:
            refused()
        assert str(error.value) == (
            f"{lake} belongs to {owner('/somewhere/.millstream')} (process {first.pid}) already, and a lake "
            "has one stack: run `make down` there, or give this stack a lake of its own with "
            "MILLSTREAM_LAKE_ROOT"
        )
    claim(f"{lake}-other", "/elsewhere", wait_s=0)


def test_a_killed_server_gives_its_lake_back_though_a_child_of_it_lives(lake: str, start: Start) -> None:
    first = start("/somewhere")
    child = child_of(first)

    first.kill()
    first.wait(10)

    assert child.is_running()
    Storage(lake).require_unclaimed("me")
    child_of(start("/elsewhere"))


def test_a_server_waits_for_one_that_is_dying(lake: str, start: Start) -> None:
    first = start("/somewhere")
    child_of(first)
    second = start("/elsewhere")
    assert second.stderr is not None
    assert second.stderr.readline().startswith(f"waiting for the lake: {lake} belongs to the stack in /some")

    first.kill()

    child_of(second)
    with pytest.raises(LakeWriterError, match=r"belongs to the stack in /elsewhere on .* \(process"):
        Storage(lake).require_unclaimed("me")


def test_a_lake_that_is_claimed_stops_the_start_before_anything_runs(
    lake: str, start: Start, settings: Settings
) -> None:
    child_of(start("/somewhere"))
    other = settings.model_copy(update={"lake_root": lake})

    with (
        socket.create_server(("127.0.0.1", other.airflow_port)),
        pytest.raises(LakeWriterError, match="belongs to the stack in /somewhere"),
    ):
        up(other, lambda line: None)

    assert [one.process for one in status(other)] == [None] * 8


def test_the_stacks_server_claims_its_lake(settings: Settings) -> None:
    command = spark_connect_command(settings)
    assert command[1:5] == (
        "-m",
        "millstream_stack.services.lake_claim",
        settings.lake_root,
        str(settings.home),
    )


def test_emptying_the_scratch_space_keeps_the_folder_and_what_a_link_leads_to(tmp_path: Path) -> None:
    scratch, elsewhere = tmp_path / "scratch", tmp_path / "elsewhere"
    (scratch / "blockmgr-1" / "0a").mkdir(parents=True)
    (scratch / "blockmgr-1" / "0a" / "shuffle_0_0_0.data").write_bytes(b"left")
    (scratch / "liblz4-java.so").write_bytes(b"left")
    elsewhere.mkdir()
    (elsewhere / "kept").write_bytes(b"kept")
    (scratch / "link").symlink_to(elsewhere)

    empty(scratch)
    empty(tmp_path / "missing")

    assert list(scratch.iterdir()) == []
    assert (elsewhere / "kept").exists()


def test_on_a_larger_disk_the_server_empties_only_what_is_its_own(tmp_path: Path) -> None:
    home, disk = tmp_path / "home", tmp_path / "disk"
    home.mkdir()
    disk.mkdir()
    (disk / "somebody's").write_bytes(b"kept")
    (home / "scratch").symlink_to(disk)
    left = scratch_path(home) / "blockmgr-1"
    left.mkdir(parents=True)
    module = (sys.executable, "-m", "millstream_stack.services.lake_claim")
    subprocess.run([*module, f"file://{tmp_path}/lake", str(home), "true"], check=True, timeout=60)

    assert not left.exists()
    assert scratch_path(home).is_dir()
    assert (disk / "somebody's").exists()
