"""A Connect server that is killed on purpose, and a chain of jobs that Airflow's rules carry through it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from millstream.engines import sessions
from millstream.errors import PermanentError
from millstream.lake import history
from millstream.lake.accounts import Account
from millstream.lake.tables import TableRef
from millstream.settings import CHECKOUT, Settings
from millstream_stack.install.jars import pyspark_jars
from millstream_stack.install.scala import compile_scala
from millstream_stack.services.spark_server import (
    properties_path,
    spark_connect_command,
    write_spark_properties,
)
from tests.support import jvm
from tests.support.chain import Chain
from tests.support.loopback import free_ports
from tests.support.waiting import until

UP_TIMEOUT_S = 180.0
REACHED_TIMEOUT_S = 180.0
TRIES = 4
# Spark's jars, and the installed ones with the lake's log store.
LIBRARIES = (f"{pyspark_jars()}/*", f"{CHECKOUT}/.millstream/jars/*")
STEPS = ("load_bronze", "transform", "quality_gate", "publish")


def fault_classpath(classes: Path) -> str:
    """Java's class path of what a test's Scala needs."""
    return os.pathsep.join((str(classes), *LIBRARIES))


def compile_log_stores(target: Path) -> Path:
    """Compile the Scala of this folder: log stores that stop on demand, and a process that uses one."""
    sources = sorted(Path(__file__).parent.glob("*.scala"))
    compile_scala(sources, list(LIBRARIES), target, target)
    return target


class Server:
    """The stack's Spark Connect server, with a log store that stops on demand.

    Its folders are made below `home`, as far as they are not there.
    """

    def __init__(self, home: Path, classes: Path, environment: dict[str, str] | None = None) -> None:
        self.settings = Settings(
            root=CHECKOUT,
            home=home,
            lake_root=f"file://{home}/lake",
            spark_driver_memory="1500m",
            **free_ports("connect_port", "spark_ui_port"),
        )
        self.points = home / "points"
        for folder in (self.points, home / "spark", home / "spark-events"):
            folder.mkdir(exist_ok=True)
        self._environment = {
            "SPARK_LOCAL_IP": "127.0.0.1",
            **(environment or {}),
        }
        write_spark_properties(self.settings)
        with properties_path(self.settings).open("a") as more:
            # The last of several entries counts.
            more.write(f"spark.driver.extraClassPath {classes}:{CHECKOUT}/.millstream/jars/*\n")
            more.write("spark.delta.logStore.file.impl millstream.fault.PausingLogStore\n")
        jvm.shorten(self.settings, f"-Dmillstream.fault.dir={self.points}")
        self._process: subprocess.Popen[bytes] | None = None
        # Of the last process that has ended.
        self.exit_code: int | None = None

    def start(self) -> None:
        with (self.settings.home / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                spark_connect_command(self.settings),
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self._environment},
                start_new_session=True,
            )
        until(self.listens, UP_TIMEOUT_S, "the Connect server to listen")

    def listens(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.settings.connect_port)) == 0

    def kill(self) -> None:
        """SIGKILL to the JVM (and the launcher's shell), and nothing left when this returns."""
        if self._process is not None:
            if not self.ended():
                os.killpg(self._process.pid, signal.SIGKILL)
            self.exit_code = self._process.wait(30)
            self._process = None

    def ended(self) -> bool:
        """Whether the process has gone by itself."""
        return self._process is not None and self._process.poll() is not None

    def arm(self, point: str, part: str) -> None:
        """Stop at the next log entry whose path contains `part`: `before` or `after` it, or `lost`."""
        (self.points / "reached").unlink(missing_ok=True)
        waiting = self.points / "arm.new"
        waiting.write_text(f"{point} {part}")
        waiting.rename(self.points / "arm")

    def reached(self) -> bool:
        return (self.points / "reached").exists()

    def works(self) -> bool:
        """Whether a Spark job is running; False while there is no answer."""
        base = f"{self.settings.spark_ui_url}/api/v1/applications"
        try:
            with urllib.request.urlopen(base, timeout=10) as answer:
                application = json.load(answer)[0]["id"]
            with urllib.request.urlopen(f"{base}/{application}/jobs?status=running", timeout=10) as answer:
                return bool(json.load(answer))
        except OSError:
            return False


@dataclass
class Journal:
    """What happened to one run."""

    tries: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    # Rows of the table as a reader saw them while the server was dead.
    seen: list[int] = field(default_factory=list)
    killed_at: float | None = None
    recovered_at: float | None = None

    @property
    def recovery_s(self) -> float | None:
        """Seconds from the kill to the end of the run; None when nothing was killed, or it hit nothing."""
        if self.killed_at is None or self.recovered_at is None or not self.failures:
            return None
        return self.recovered_at - self.killed_at


def carry(
    server: Server,
    chain: Chain,
    run: str,
    months: list[str],
    journal: Journal,
    before: Callable[[str], None] = lambda step: None,
) -> dict[str, Any]:
    """The run's steps in order, each tried again after a failure that is not permanent, as tasks are.

    `before` is told each step that begins. A run that is carried once more with the same journal goes on
    counting its tries.
    """
    results: dict[str, dict[str, Any]] = {}
    calls: dict[str, Callable[[], dict[str, Any]]] = {
        "load_bronze": lambda: chain.load_bronze(run),
        "transform": lambda: chain.transform(run),
        "quality_gate": lambda: chain.judge(run, results["transform"]),
        "publish": lambda: chain.publish(run, results["transform"], months),
    }
    for step in STEPS:
        before(step)
        # With the lake, because a session's name is never used twice on one server.
        results[step] = _tried(server, chain, f"{chain.root}/{run}/{step}", calls[step], journal)
    journal.recovered_at = time.monotonic()
    return results["publish"]


def _tried(
    server: Server, chain: Chain, task: str, call: Callable[[], dict[str, Any]], journal: Journal
) -> dict[str, Any]:
    done = journal.tries.get(task, 0)
    for number in range(done + 1, done + TRIES + 1):
        journal.tries[task] = number
        earlier = [f"{task}/{before}" for before in range(1, number)]
        if number > done + 1:
            # As the pause before a retry does. A first try knows nothing of a server that has just died.
            until(server.listens, UP_TIMEOUT_S, "the server to come back")
        try:
            with sessions.connect(
                server.settings.connect_url, f"{task}/{number}", earlier, tag="fault"
            ) as spark:
                chain.spark = spark
                return call()
        except PermanentError:
            raise
        except Exception as error:
            journal.failures.append(f"{task} try {number}: {type(error).__name__}")
            journal.messages.append(str(error))
    raise AssertionError(f"{task} failed {TRIES} times: {journal.failures}")


class Killer(threading.Thread):
    """Kills the server when `when` says so, looks at the table, and starts the server again."""

    def __init__(
        self, server: Server, table: TableRef, lake_root: str, journal: Journal, when: Callable[[], bool]
    ) -> None:
        super().__init__(daemon=True)
        self.server, self.table, self.lake_root = server, table, lake_root
        self.journal, self.when = journal, when
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            until(self.when, REACHED_TIMEOUT_S, "the moment to kill")
            self.server.kill()
            self.journal.killed_at = time.monotonic()
            self.journal.seen.append(len(rows_of(self.table, self.lake_root)))
            self.server.start()
        except BaseException as error:
            self.error = error

    def end(self) -> None:
        self.join(REACHED_TIMEOUT_S + UP_TIMEOUT_S)
        assert not self.is_alive()
        if self.error is not None:
            raise self.error


def after_seconds(seconds: float) -> Callable[[], bool]:
    """True from `seconds` after now on: the fault is a moment in time, not a condition."""
    moment = time.monotonic() + seconds
    return lambda: time.monotonic() >= moment


def rows_of(table: TableRef, lake_root: str) -> list[str]:
    """Source row ids of the published table, read without Spark; empty when there is no table."""
    try:
        found = DeltaTable(table.uri(lake_root)).to_pyarrow_table(columns=["_source_row_id"])
    except TableNotFoundError:
        return []
    ids: list[str] = found.column(0).to_pylist()
    return ids


def account(table: TableRef, lake_root: str) -> Account:
    return history.read(table, lake_root).accounts[0]
