"""Waiting for a condition, with a bound: the one place where tests look again and again."""

from __future__ import annotations

import time
from collections.abc import Callable

POLL_S = 0.05


def until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Returns once `condition` holds; an AssertionError names what was waited for in vain."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s:.0f} s for {what}"
        time.sleep(POLL_S)
