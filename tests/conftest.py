"""What every test process needs before anything is imported; `stack/run` sets the same and more."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from xdist.scheduler import LoadScopeScheduling

from millstream.settings import CHECKOUT
from tests.support.fault_report import Report
from tests.support.hadoop import Hdfs
from tests.support.mariadb_server import DATABASE, MariaDbServer

# Spark starts its Python workers by name; the `python3` of the PATH may be another one.
os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
os.environ.setdefault("AIRFLOW_HOME", str(CHECKOUT / ".millstream" / "airflow"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")

# What the tests of these folders share, so that one process has to run them all. Other files stand alone.
SHARED = {
    "e2e": "the stack",
    "fault": "a server that is killed",
    "connect": "over Connect",
    "streams": "a broker",
}


def _two_or_more(days: str) -> int:
    if (count := int(days)) < 2:
        raise argparse.ArgumentTypeError(f"{count} is too few: the stream reads two halves, of a day or more")
    return count


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write tests/dags/golden anew")
    parser.addoption("--thorough", action="store_true", help="also what is marked `thorough`")
    parser.addoption(
        "--days", type=_two_or_more, default=31, help="of flights that tests/streams/test_months.py sends"
    )
    parser.addoption("--cluster", action="store_true", help="also what is marked `cluster`")
    parser.addoption("--fault-seeds", type=int, default=0, help="seeds of each fault case; 0: a quick part")
    parser.addoption("--fault-report", help="write the table of fault cases to this file")


class ByServer(LoadScopeScheduling):
    """Two processes (`-n 2`) take units of work in the order of `testpaths`: one begins with the first half
    of classic Spark, the other with the quick files and the stack; then come, for whom is free, the files of
    the other half, and the servers.

    Each keeps little more than one core busy. Classic Spark is before the servers because a process that has
    opened a Connect session gets no classic one any more.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        folder, name = file.split("/")[1:3]
        if folder == "spark" and name < "test_p":
            return "classic Spark, first half"
        return SHARED.get(folder, file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByServer:
    config.option.loadscopereorder = False
    return ByServer(config, log)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A fault case that asks for a `seed` runs once for each."""
    if "seed" in metafunc.fixturenames and metafunc.definition.get_closest_marker("fault"):
        metafunc.parametrize("seed", range(max(1, metafunc.config.getoption("--fault-seeds"))))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is thorough is left to `make test-thorough` and `make test-faults`, what takes a cluster to
    `make test-yarn`."""
    if not (config.getoption("--thorough") or config.getoption("--fault-seeds")):
        items[:] = [item for item in items if item.get_closest_marker("thorough") is None]
    if not config.getoption("--cluster"):
        items[:] = [item for item in items if item.get_closest_marker("cluster") is None]
    for item in items:
        # The first of them may fetch a hundred megabytes of jars.
        if {"hdfs", "mariadb_server"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.timeout(900))


def pytest_unconfigure() -> None:
    """Nothing is left for pytest's last collection of garbage: on a busy machine it takes longer than the
    five seconds after which xdist interrupts a process, which showed as a trace in a run that passed."""
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def no_connect_mode_left_behind() -> Iterator[None]:
    """PySpark marks a process that has opened a Connect session, and with it the programs that it starts."""
    yield
    os.environ.pop("SPARK_CONNECT_MODE_ENABLED", None)


@pytest.fixture(scope="session")
def report(pytestconfig: pytest.Config) -> Report:
    """The table of fault cases, written where `--fault-report` says."""
    path = pytestconfig.getoption("--fault-report")
    return Report(Path(path) if path else None)


@pytest.fixture(scope="session")
def mariadb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDbServer]:
    server = MariaDbServer(tmp_path_factory.mktemp("mariadb"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def mariadb(mariadb_server: MariaDbServer) -> Iterator[sa.Engine]:
    """An empty database of a real MariaDB."""
    engine = sa.create_engine(mariadb_server.url(), poolclass=sa.NullPool)
    yield engine
    with engine.begin() as connection:
        connection.execute(sa.text(f"DROP DATABASE {DATABASE}"))
        connection.execute(sa.text(f"CREATE DATABASE {DATABASE}"))


@pytest.fixture(scope="session")
def hdfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hdfs]:
    """A real HDFS, for all tests of this process."""
    server = Hdfs(tmp_path_factory.mktemp("hdfs"))
    try:
        server.start()
        yield server
    finally:
        server.stop()
