"""Entries of one log by several processes: what Delta's own log store loses, and the lake's does not.

The processes do nothing but commit, so that they meet far more often than in any lake.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from millstream.lake.log_store import LOG_STORE
from tests.support import jvm, power_loss
from tests.support.fault_report import Report
from tests.support.harness import fault_classpath
from tests.support.thorough import thorough
from tests.support.waiting import until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(300)]

DELTAS_OWN = "io.delta.storage.HDFSLogStore"
MEMORY = Path("/dev/shm")
BOUND_S = 120.0
STORM_ENTRIES = 400


class LogWriters:
    """Processes that commit to the log in `folder`, each `entries` times."""

    def __init__(
        self, folder: Path, classes: Path, store: str, names: str, entries: int, *options: str
    ) -> None:
        self.log, self.signals, self.names = folder / "log", folder / "signals", names
        self.log.mkdir()
        self.signals.mkdir()
        java = [f"{os.environ['JAVA_HOME']}/bin/java", *jvm.SHORT_LIVED.split(), *options]
        command = [*java, "-cp", fault_classpath(classes), "millstream.fault.LogWriter", store, str(self.log)]
        self.processes = {
            name: subprocess.Popen([*command, name, str(entries), str(self.signals)]) for name in names
        }

    def __enter__(self) -> LogWriters:
        return self

    def __exit__(self, *raised: object) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait(30)

    def begin(self) -> None:
        """Let them go, all at once."""
        ready = [self.signals / f"{name}.ready" for name in self.names]
        until(lambda: all(path.exists() for path in ready), BOUND_S, "the writers")
        (self.signals / "go").touch()

    def acknowledged(self) -> list[str]:
        """Whole lines: a process that was killed may have left a part of one."""
        return [
            line
            for name in self.names
            for line in (self.signals / f"{name}.acks").read_text().splitlines(keepends=True)
            if line.endswith("\n")
        ]

    def logged(self) -> list[str]:
        """The entries of the log, which has no gap."""
        files = sorted(self.log.glob("*.json"))
        assert [int(file.stem) for file in files] == list(range(len(files)))
        return [file.read_text() for file in files]

    def compare(self) -> tuple[int, int]:
        """How many acknowledged entries are lost, and how many are there twice."""
        counts = Counter(self.logged())
        lost = set(self.acknowledged()) - set(counts)
        return len(lost), sum(number - 1 for number in counts.values())


def met(folder: Path, classes: Path, store: str) -> LogWriters:
    """Two processes that have committed one entry each, and were both about to give it the same name."""
    (folder / "met").mkdir()
    options = (
        f"-Dmillstream.fault.meet={folder / 'met'}",
        "-Dmillstream.fault.fs=millstream.fault.MeetingLocalFs",
    )
    with LogWriters(folder, classes, store, "AB", 1, *options) as writers:
        writers.begin()
        assert [process.wait(BOUND_S) for process in writers.processes.values()] == [0, 0]
    assert len(list((folder / "met").iterdir())) == 2
    return writers


def test_with_deltas_own_store_one_process_loses_what_it_was_told_is_committed(
    tmp_path: Path, log_store: Path
) -> None:
    writers = met(tmp_path, log_store, DELTAS_OWN)
    assert len(set(writers.acknowledged())) == 2
    assert writers.compare() == (1, 0)


def test_with_the_lakes_store_the_second_process_takes_the_next_version(
    tmp_path: Path, log_store: Path
) -> None:
    writers = met(tmp_path, log_store, "millstream.fault.MeetingLogStore")
    assert len(set(writers.acknowledged())) == 2
    assert sorted(writers.logged()) == sorted(writers.acknowledged())


def test_a_loss_of_power_takes_no_acknowledged_entry_none_of_its_data_and_no_checkpoint(
    tmp_path: Path, log_store: Path
) -> None:
    with power_loss.mounted(tmp_path) as (disk, lose_power):
        options = "-Dmillstream.fault.checkpoint=true"
        with LogWriters(disk, log_store, LOG_STORE, "A", 20, options) as writers:
            os.sync()
            writers.begin()
            assert writers.processes["A"].wait(BOUND_S) == 0
        lose_power()
        files = [json.loads(entry)["add"]["path"] for entry in writers.logged()]
        assert files == [f"A-{number}" for number in range(20)]
        assert [(disk / file).read_text() for file in files] == files
        named = json.loads((writers.log / "_last_checkpoint").read_text())["version"]
        checkpoint = writers.log / f"{named:020}.checkpoint.parquet"
        assert checkpoint.read_text() == f"checkpoint of {named}"


@pytest.fixture(params=["disk", *thorough("memory")])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """On the disk of the tests' files, and on a file system in memory."""
    if request.param == "disk":
        yield tmp_path
        return
    if not MEMORY.is_dir():
        pytest.skip("this machine has no /dev/shm")
    with TemporaryDirectory(dir=MEMORY, prefix="millstream-") as name:
        yield Path(name)


def test_writers_that_are_killed_lose_and_double_nothing(
    folder: Path, log_store: Path, report: Report, seed: int
) -> None:
    chance = random.Random(seed)
    killed = chance.sample("ABC", chance.randint(1, 2))
    moments = sorted(chance.randint(1, STORM_ENTRIES * 2) for _ in killed)
    with (
        report.run("processes that commit to one log, killed at random moments") as outcome,
        ExitStack() as end,
    ):
        writers = end.enter_context(LogWriters(folder, log_store, LOG_STORE, "ABC", STORM_ENTRIES))
        writers.begin()
        for name, moment in zip(killed, moments, strict=True):
            until(lambda moment=moment: len(writers.acknowledged()) >= moment, BOUND_S, "entries")  # type: ignore[misc]
            os.kill(writers.processes[name].pid, signal.SIGKILL)
        codes = {name: process.wait(BOUND_S) for name, process in writers.processes.items()}
        outcome.hit = all(codes[name] == -signal.SIGKILL for name in killed)
        assert all(codes[name] == 0 for name in set("ABC") - set(killed))
        outcome.lost, outcome.doubled = writers.compare()
        assert (outcome.lost, outcome.doubled) == (0, 0)
        # At most the entry that each of the killed was about to have acknowledged.
        assert len(writers.logged()) - len(writers.acknowledged()) <= len(killed)
        # What was cut off before it had its name is no entry.
        assert all(file.name.startswith(".") for file in writers.log.iterdir() if file.suffix != ".json")
