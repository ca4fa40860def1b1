"""Cases that `make test` leaves to `make test-thorough`."""

from __future__ import annotations

from typing import Any

import pytest


def thorough(*cases: Any) -> list[Any]:
    """For `parametrize`: cases that repeat with other data what the test's quicker ones prove."""
    return [
        pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.thorough)
        for case in cases
    ]
