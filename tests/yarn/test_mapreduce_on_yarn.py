"""The MapReduce job on YARN: it writes what Hadoop's local runner writes, and outlives its task."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from millstream.engines.mapreduce import ROUTE_DELAY_STATISTICS, LocalRunner
from millstream.engines.mapreduce_yarn import HistoryServer, YarnRunner
from millstream.engines.submission import task_tag
from millstream.engines.yarn import ResourceManager
from millstream.errors import ClusterError, ConfigurationError, TransformError
from millstream.lake.storage import Storage
from millstream.lake.tables import text_folders
from millstream.settings import CHECKOUT, Settings
from millstream_demo import reference
from spark_jobs.mapreduce.route_delay_statistics import COUNTERS
from tests.support.fault_report import Report
from tests.support.hadoop import CONF, Yarn, only_loopback
from tests.support.loopback import closed_port
from tests.support.mapreduce_task import CONNECTION, JOB, mapreduce
from tests.support.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

FLIGHT = "2013-01\tUA\tEWR\tIAH\t5\t11\n"
MANY = 500_000


@pytest.fixture(scope="module")
def history(yarn: Yarn) -> str:
    assert only_loopback(), "its servers listen on all addresses: run tests/support/loopback_only.sh"
    yarn.start_history()
    return yarn.history


@pytest.fixture
def storage(yarn: Yarn, history: str, lake: str, monkeypatch: pytest.MonkeyPatch) -> Storage:
    """The lake on HDFS; the operator's connection leads to YARN."""
    connect_by(monkeypatch, yarn, history)
    return Storage(lake)


def connect_by(patch: pytest.MonkeyPatch, yarn: Yarn, history: str) -> None:
    extra = {
        "yarn_resourcemanager_webapp_address": yarn.web,
        "mapreduce_jobhistory_webapp_address": history,
    }
    patch.setenv(CONNECTION[0], json.dumps({"conn_type": "hadoop_yarn", "extra": extra}))


def flights(month: int) -> list[str]:
    """The real flights of a month as the job's input."""
    header, *lines = reference.flight_lines()
    names = header.decode().strip().split(",")
    rows = (dict(zip(names, line.decode().strip().split(","), strict=True)) for line in lines)
    return [
        "\t".join(
            (
                f"{row['year']}-{int(row['month']):02}",
                *(row[name].strip('"') for name in ("carrier", "origin", "dest", "hour")),
                row["arr_delay"].replace("NA", ""),
            )
        )
        for row in rows
        if row["month"] == str(month)
    ]


def output(storage: Storage, folder: str) -> list[str]:
    parts = [name for name in storage.list(folder) if name.startswith("part-")]
    return sorted(line for name in parts for line in storage.read(f"{folder}/{name}").decode().splitlines())


def test_it_equals_the_local_runner(yarn: Yarn, storage: Storage, tmp_path: Path) -> None:
    lines, folders = flights(1), text_folders(JOB, "equal")
    assert len(lines) == 27_004
    local = Storage(f"file://{tmp_path}")
    # Two files, so that combiners of two maps write the same keys.
    for number in range(2):
        content = "\n".join([*lines[number::2], ""]).encode()
        for place in (storage, local):
            place.write(f"{folders.input}/part-{number}.txt", content)
    before = yarn.metrics()["appsSubmitted"]

    counters = mapreduce("equal")

    runner = LocalRunner(jars=Settings().home / "jars", scratch=tmp_path)
    runner.run(ROUTE_DELAY_STATISTICS, tmp_path / folders.input, tmp_path / folders.output)
    assert output(storage, folders.output) == output(local, folders.output)
    assert counters[COUNTERS] == {"Flights": 27_004, "Malformed lines": 0}
    assert yarn.metrics()["appsSubmitted"] == int(str(before)) + 1


def test_a_flight_that_the_job_cannot_count_is_named(storage: Storage) -> None:
    folders = text_folders(JOB, "malformed")
    storage.write(f"{folders.input}/part-0.txt", f"{FLIGHT}no flight\n".encode())
    with pytest.raises(TransformError, match=r"ended with status 65; its last lines:\n(.|\n)*no flight"):
        mapreduce("malformed")


def test_a_script_that_needs_more_memory_than_its_container_has_is_for_a_person(
    yarn: Yarn, manager: ResourceManager, storage: Storage, tmp_path: Path
) -> None:
    storage.write("greedy/input/part-0.txt", FLIGHT.encode())
    script = tmp_path / "greedy.py"
    # It is ended by YARN; should nobody end it, in two minutes.
    script.write_text("import time\nheld = b'1' * 700_000_000\ntime.sleep(120)\n")
    runner = YarnRunner(
        manager, HistoryServer(yarn.history), "greedy", jars=Settings().home / "jars", conf=CONF
    )
    job = replace(ROUTE_DELAY_STATISTICS, script=script)
    submitted = runner.submit(job, f"{storage.lake_root}/greedy/input", f"{storage.lake_root}/greedy/output")
    with pytest.raises(ConfigurationError, match=r"greedy \(application_.*raise mapreduce\.map\.memory\.mb"):
        runner.follow(job, submitted)


def test_nothing_is_submitted_without_the_history_server(
    yarn: Yarn, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = yarn.metrics()["appsSubmitted"]
    with closed_port() as port:
        connect_by(monkeypatch, yarn, f"http://127.0.0.1:{port}")
        with pytest.raises(ClusterError, match=f"history server does not answer http://127.0.0.1:{port}/"):
            mapreduce("alone")
    assert yarn.metrics()["appsSubmitted"] == before


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "cleared"])
def test_the_job_of_a_task_that_ends_is_followed_by_the_next_try_or_ended_with_it(
    yarn: Yarn, manager: ResourceManager, storage: Storage, how: signal.Signals
) -> None:
    run, folders = how.name, text_folders(JOB, how.name)
    storage.write(f"{folders.input}/part-0.txt", (FLIGHT * MANY).encode())
    tag = task_tag(f"build_route_statistics/{run}/mapreduce/-1")
    task = subprocess.Popen([sys.executable, "-m", "tests.support.mapreduce_task", run], cwd=CHECKOUT)
    try:
        until(lambda: bool(manager.tagged(tag)), 120, "the job on YARN")
        [running] = manager.tagged(tag)
        task.send_signal(how)
        assert task.wait(60) != 0
    finally:
        task.kill()
        task.wait(30)
    submitted = yarn.metrics()["appsSubmitted"]
    ended = how is signal.SIGTERM
    assert (manager.application(running.id).state == "KILLED") == ended

    counters = mapreduce(run, 2)

    assert counters[COUNTERS] == {"Flights": MANY, "Malformed lines": 0}
    values = "\t".join(map(str, [MANY, MANY, 11 * MANY, 121 * MANY, 0, 0, 0, 0, MANY, 0, 0, 0, 0]))
    assert output(storage, folders.output) == [f"2013-01\tUA\tEWR\tIAH\t5\t{values}"]
    assert yarn.metrics()["appsSubmitted"] == int(str(submitted)) + ended


# By the class that its JVM runs: a mapper's or reducer's, and the job's own master, which YARN tries once.
ATTEMPT, MASTER = "org.apache.hadoop.mapred.YarnChild", "org.apache.hadoop.mapreduce.v2.app.MRAppMaster"


@pytest.mark.fault
@pytest.mark.parametrize(("victim", "tries"), [(ATTEMPT, 1), (MASTER, 2)], ids=["attempt", "master"])
def test_a_job_of_which_a_part_is_killed_counts_each_flight_once(
    manager: ResourceManager, storage: Storage, report: Report, victim: str, tries: int, seed: int
) -> None:
    run = f"without-{victim.rpartition('.')[2]}-{seed}"
    folders = text_folders(JOB, run)
    # Two mappers and a reducer: a seed kills the first, the second or the third of them.
    for number in range(2):
        storage.write(f"{folders.input}/part-{number}.txt", (FLIGHT * (MANY // 2)).encode())
    tag = task_tag(f"build_route_statistics/{run}/mapreduce/-1")
    task = subprocess.Popen([sys.executable, "-m", "tests.support.mapreduce_task", run], cwd=CHECKOUT)
    with report.run(f"{victim.rpartition('.')[2]} of a MapReduce job killed") as outcome:
        try:
            until(lambda: bool(manager.tagged(tag)), 120, "the job on YARN")
            [running] = manager.tagged(tag)
            before = seed % 3 if victim == ATTEMPT else 0
            seen: set[int] = set()
            killed: list[int] = []

            def kill_enough() -> bool:
                alive = processes(running.id, victim)
                seen.update(process.pid for process in alive)
                if len(seen) > before:
                    for process in alive:
                        # One that has just ended was not killed: the next is.
                        with suppress(psutil.NoSuchProcess):
                            process.kill()
                            killed.append(process.pid)
                return bool(killed)

            until(kill_enough, 120, victim)
            began = time.monotonic()
            ended = task.wait(180)
        finally:
            task.kill()
            task.wait(30)
        if tries == 1:
            assert ended == 0
        else:
            assert ended != 0
            counters = mapreduce(run, tries)
            assert counters[COUNTERS] == {"Flights": MANY, "Malformed lines": 0}
        outcome.hit, outcome.recovery_s = True, time.monotonic() - began
        values = "\t".join(map(str, [MANY, MANY, 11 * MANY, 121 * MANY, 0, 0, 0, 0, MANY, 0, 0, 0, 0]))
        [line] = output(storage, folders.output)
        counted = int(line.split("\t")[5])
        outcome.lost, outcome.doubled = max(0, MANY - counted), max(0, counted - MANY)
        assert line == f"2013-01\tUA\tEWR\tIAH\t5\t{values}"


def processes(application: str, main: str) -> list[psutil.Process]:
    """The JVMs of an application that run a class."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            command = process.cmdline()
            if process.name() == "java" and main in command and application in " ".join(command):
                found.append(process)
    return found
