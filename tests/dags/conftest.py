"""`--update-golden` writes the golden files anew; nothing else ever does."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write tests/dags/golden anew")
