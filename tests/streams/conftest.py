"""One real broker for all tests of streams."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.broker import RunningBroker, started


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    with started(tmp_path_factory.mktemp("kafka")) as server:
        yield server
