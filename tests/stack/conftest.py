"""Settings whose home is a test's own folder and whose ports are free."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from millstream.settings import CHECKOUT, Settings
from tests.support.loopback import STACK_PORTS, free_ports


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(root=CHECKOUT, home=tmp_path / "home", **free_ports(*STACK_PORTS))


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
