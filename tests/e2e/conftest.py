"""The whole embedded stack, with a home, a lake and ports of its own."""

from __future__ import annotations

import base64
import gzip
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from zlib import crc32

import pytest

from millstream.lake import history
from millstream.lake.tables import TableRef
from millstream.settings import CHECKOUT, Settings
from millstream_stack.clients.airflow_api import wait_for_dags
from millstream_stack.credentials import Credentials, load_or_create
from millstream_stack.environment import airflow_connections
from millstream_stack.supervision.lifecycle import down, up
from tests.support.airflow_user import AirflowUser
from tests.support.canaries import ArgumentWatch
from tests.support.carried import MONTH, NEEDS_A_YEAR, carry
from tests.support.loopback import STACK_PORTS, free_ports
from tests.support.machine_clock import MachineClock
from tests.support.small_disk import mounted

PARSE_TIMEOUT_S = 240.0
AIRFLOW_BYTES = 256 << 20
MARTS = sorted(path.stem for path in (CHECKOUT / "dags").glob("mart_*.py"))


@pytest.fixture(scope="session")
def settings() -> Settings:
    # Below the checkout, because a folder of pytest's is too deep for a Unix socket's path.
    home = CHECKOUT / ".millstream" / "e2e" / str(os.getpid())
    return Settings(root=CHECKOUT, home=home, lake_root=f"file://{home}/lake", **free_ports(*STACK_PORTS))


@pytest.fixture(scope="session")
def credentials(settings: Settings) -> Credentials:
    return load_or_create(settings)


@pytest.fixture(scope="session")
def canaries(settings: Settings, credentials: Credentials) -> Iterator[dict[str, str]]:
    """Every secret that the stack is given, by what holds it; a connection that needs none gets one too."""
    planted = {name: value for name, value in credentials.model_dump().items() if not name.endswith("_user")}
    with pytest.MonkeyPatch.context() as patch:
        for variable, text in airflow_connections(settings, credentials).items():
            connection = json.loads(text)
            # SQLite knows no login: its connection is the name of a file.
            if connection["conn_type"] != "sqlite":
                planted[variable] = connection.setdefault("password", secrets.token_urlsafe(24))
                patch.setenv(variable, json.dumps(connection))
        login = f"{credentials.mlflow_user}:{credentials.mlflow_password}"
        planted["MLflow's login, as HTTP sends it"] = base64.b64encode(login.encode()).decode()
        planted["AIRFLOW_VAR_CANARY"] = secrets.token_urlsafe(24)
        patch.setenv("AIRFLOW_VAR_CANARY", planted["AIRFLOW_VAR_CANARY"])
        yield planted


@pytest.fixture(scope="session")
def arguments(canaries: dict[str, str]) -> Iterator[ArgumentWatch]:
    """The arguments of all processes, from before the stack's start."""
    with ArgumentWatch() as watch:
        yield watch


@pytest.fixture(scope="session")
def clock(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MachineClock | None]:
    """That of the stack's processes, where faults are asked for and it can be made."""
    if not pytestconfig.getoption("--fault-seeds") or not MachineClock.can_be_made():
        yield None
        return
    clock = MachineClock(tmp_path_factory.mktemp("clock"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in clock.environment.items():
            patch.setenv(name, value)
        yield clock


@pytest.fixture(scope="session")
def airflow_disk(pytestconfig: pytest.Config, settings: Settings) -> Iterator[Path | None]:
    """A small disk for Airflow's database, where faults are asked for and it can be mounted."""
    if not pytestconfig.getoption("--fault-seeds"):
        yield None
        return
    with ExitStack() as held:
        disk: Path | None = None
        with suppress(pytest.skip.Exception):
            disk = held.enter_context(mounted(settings.home / "airflow", AIRFLOW_BYTES))
        yield disk
    # What was below the disk could not be removed with the rest.
    shutil.rmtree(settings.home, ignore_errors=True)


def deliver_fewer_docstrings(settings: Settings) -> None:
    """Those of every fifth module: to train on all takes minutes, and shows nothing more here."""
    path = settings.home / "demo" / "drop" / "docstrings" / "docstrings.jsonl.gz"
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    kept = [line for line in lines if crc32(json.loads(line)["module"].encode()) % 5 == 0]
    path.write_bytes(gzip.compress(b"".join(kept)))


@pytest.fixture(scope="session")
def api(
    settings: Settings,
    credentials: Credentials,
    arguments: ArgumentWatch,
    clock: MachineClock | None,
    airflow_disk: Path | None,
) -> Iterator[AirflowUser]:
    try:
        up(settings, print)
        deliver_fewer_docstrings(settings)
        with AirflowUser(
            settings.airflow_url, credentials.airflow_user, credentials.airflow_password
        ) as client:
            expected = {path.stem for path in (settings.root / "dags").glob("*.py")}
            found = wait_for_dags(client, expected, PARSE_TIMEOUT_S)
            for name in NEEDS_A_YEAR:
                if name in found:
                    client.pause(name)
            yield client
    finally:
        down(settings, print)
        shutil.rmtree(settings.home, ignore_errors=True)


@pytest.fixture(scope="session")
def month(api: AirflowUser, settings: Settings) -> str:
    """The month of flights with which everything was made first: in `test_as_prefilled.py`, or here."""
    if history.version(TableRef.parse("silver.flights"), settings.lake_root) is None:
        carry(api, *(f"ingest_{name}" for name in ("airlines", "airports", "planes", "weather")))
        carry(api, "ingest_flights", conf={"start": MONTH, "end": MONTH})
    # Made once, they would be made again for every test that publishes what they are made from.
    for mart in MARTS:
        api.pause(mart)
    return MONTH
