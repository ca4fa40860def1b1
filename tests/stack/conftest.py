"""Settings whose home is a test's own folder and whose ports are free."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from millstream.settings import CHECKOUT, Settings

PORTS = ("airflow_port", "mlflow_port", "connect_port", "spark_ui_port", "sources_port")


@pytest.fixture
def free_ports() -> dict[str, int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in PORTS]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return {name: one.getsockname()[1] for name, one in zip(PORTS, sockets, strict=True)}


@pytest.fixture
def settings(tmp_path: Path, free_ports: dict[str, int]) -> Settings:
    return Settings(root=CHECKOUT, home=tmp_path / "home", **free_ports)


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own MILLSTREAM_… variables must not decide what these tests see."""
    for name in [name for name in os.environ if name.startswith("MILLSTREAM_")]:
        monkeypatch.delenv(name)


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 30.0) -> None:
    """Waits for `condition`; fails the test with `what` when it does not come true in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {timeout_s:.0f} s: {what}")
        time.sleep(0.05)


@pytest.fixture(name="wait_until")
def wait_until_fixture() -> Callable[..., None]:
    return wait_until
