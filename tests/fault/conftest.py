"""One killable server for the whole folder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.harness import Journal, Server, carry, compile_log_stores
from tests.support.month import MONTH, Month, Undisturbed

# Where a commit is stopped: in every Delta log that a run writes, before or after its rename.
# `lost`: it lands, and its reply is lost.
LOGS = (
    "bronze/flights/_delta_log",
    "staging/silver.flights",
    "silver/flights_quarantine/_delta_log",
    "silver/flights/_delta_log",
)
POINTS = ("before", "after", "lost")
QUICK = (("after", LOGS[2]),)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "point" in metafunc.fixturenames:
        every = [(point, log) for log in LOGS for point in POINTS]
        metafunc.parametrize(("point", "log"), every if metafunc.config.getoption("--fault-seeds") else QUICK)


@pytest.fixture(scope="session")
def log_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_log_stores(tmp_path_factory.mktemp("classes"))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, log_store: Path) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("fault"), log_store)
    running.start()
    yield running
    running.kill()


@pytest.fixture
def connected_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """PySpark keeps its mode in the environment, which the threads of a test share."""
    monkeypatch.setenv("SPARK_CONNECT_MODE_ENABLED", "1")


@pytest.fixture(scope="session")
def fresh_month(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Month:
    """What every test's lake is a copy of; nothing is done to it."""
    return Month(server, tmp_path_factory.mktemp("month"))


@pytest.fixture
def month(server: Server, fresh_month: Month, tmp_path: Path) -> Month:
    return Month(server, tmp_path, fresh_month)


@pytest.fixture(scope="session")
def undisturbed(server: Server, fresh_month: Month, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """What every test's delivery would come to."""
    month = Month(server, tmp_path_factory.mktemp("undisturbed"), fresh_month)
    began, journal = time.monotonic(), Journal()
    month.land("new")
    carry(server, month.chain, "new", [MONTH], journal)
    seconds = time.monotonic() - began
    assert not journal.failures
    return Undisturbed(month.counts(), seconds)
