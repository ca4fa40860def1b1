"""What every test process needs before anything is imported; `stack/run` sets the same and more."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from millstream.settings import CHECKOUT
from tests.support.fault_report import Report

# Spark starts its Python workers by name; the `python3` of the PATH may be another one.
os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
os.environ.setdefault("AIRFLOW_HOME", str(CHECKOUT / ".millstream" / "airflow"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")

# Folders whose tests talk to a Spark Connect server, and those whose tests have a classic session.
SERVED = ("connect", "fault", "e2e")
CLASSIC = ("docs", "spark")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write tests/dags/golden anew")
    parser.addoption("--fault-seeds", type=int, default=0, help="seeds of each fault case; 0: a quick part")
    parser.addoption("--fault-report", help="write the table of fault cases to this file")


class ByServer(LoadScopeScheduling):
    """Two processes (`-n 2`): one for the quick tests and then those over Connect, one for classic Spark.

    Each keeps little more than one core busy; and a process that has opened a Connect session gets no classic
    one any more.
    """

    def _split_scope(self, nodeid: str) -> str:
        # The largest scopes begin; who is through with the quick tests goes on with the servers.
        folder = nodeid.split("/")[1]
        if folder in SERVED:
            return "over Connect"
        return "classic" if folder in CLASSIC else "quick"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByServer:
    return ByServer(config, log)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A fault case that asks for a `seed` runs once for each."""
    if "seed" in metafunc.fixturenames and metafunc.definition.get_closest_marker("fault"):
        metafunc.parametrize("seed", range(max(1, metafunc.config.getoption("--fault-seeds"))))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without seeds only the quick fault cases: `make test-faults` runs them all."""
    if not config.getoption("--fault-seeds"):
        items[:] = [item for item in items if item.get_closest_marker("thorough") is None]


@pytest.fixture(scope="session")
def report(pytestconfig: pytest.Config) -> Report:
    """The table of fault cases, written where `--fault-report` says."""
    path = pytestconfig.getoption("--fault-report")
    return Report(Path(path) if path else None)
