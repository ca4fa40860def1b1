"""The gate's findings against unmodified Great Expectations, in the same run, over Spark Connect."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession

from millstream.engines import sessions
from millstream.settings import Settings
from tests.support.gate_parity import CASES, FRAMES, assert_parity
from tests.support.thorough import thorough


@pytest.fixture(scope="module")
def spark(server: Settings) -> Iterator[SparkSession]:
    with sessions.connect(server.connect_url, "parity/1", [], tag="parity") as session:
        yield session


# tests/spark/test_gate_parity.py has a case of each expectation on the frames that are thorough here.
@pytest.mark.spark
@pytest.mark.parametrize("name", thorough(*FRAMES))
def test_both_count_the_same_rows(spark: SparkSession, name: str) -> None:
    assert_parity(spark, name, CASES)
