"""A month of flights published from a stream's events: features of it are those of its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from millstream.errors import SupersededError
from millstream.lake import history
from millstream.lake.tables import TableRef
from millstream.transforms import arrival_delay_features
from millstream_demo import reference
from tests.support.chain import Chain, contract_of, month_zip, small_suite
from tests.support.flights_rows import POSITIVE_DISTANCE
from tests.support.reference_silver import DATASETS, silver_rows
from tests.support.route_statistics import by_spark
from tests.support.streaming import DAY, commit, day_messages, records, stream

pytestmark = pytest.mark.thorough

MONTH = f"{DAY:%Y-%m}"
FLIGHTS = TableRef(zone="silver", name="flights")


@pytest.fixture
def chain(spark: SparkSession, tmp_path: Path) -> Chain:
    """A lake with the events of one day, and the file that has this day of its month."""
    start = f"{DAY.year},{DAY.month},{DAY.day},".encode()
    lines = [line.decode().strip() for line in reference.flight_lines() if line.startswith(start)]
    made = Chain(spark, tmp_path, contract_of("flights"), small_suite(POSITIVE_DISTANCE))
    made.put(f"flights/flights_{MONTH}.csv.zip", month_zip(*lines))
    assert commit(stream(made.root), records(spark, day_messages())) is not None
    return made


def published_by_events(chain: Chain, run: str) -> dict[str, Any]:
    """As the tasks of `watch_streams` do it."""
    folded = chain.job("fold_days", run, first_day=str(DAY), last_day=str(DAY))
    judged = {name: folded[name] for name in ("staged_uri", "staged_version")}
    suite, table = chain.suite, str(FLIGHTS)
    verdict = chain.job("quality_gate", run, table=table, suite=suite, inputs=folded["inputs"], **judged)
    assert verdict["passed"]
    return chain.job(
        "publish",
        run,
        table=table,
        suite=suite,
        sequence=history.read_both(FLIGHTS, chain.root).next_sequence(chain.now()),
        rows_read=folded["rows"],
        load="partition",
        partitions=[MONTH],
        partition_column="month",
        inputs=folded["inputs"],
        code_version="test",
        **judged,
    )


def test_a_month_by_events_gives_the_features_of_its_file_which_takes_its_place(
    spark: SparkSession, chain: Chain
) -> None:
    made = published_by_events(chain, "by_events")
    assert (made["written"], made["partitions"]) == (made["read"], [MONTH])
    streamed = chain.rows()
    assert {place.partition("#")[0] for (place,) in streamed.select("_source_row_id").collect()} == {
        "flights/0",
        "flights/1",
    }
    tables = {
        name: silver_rows(spark, name, DAY.month, range(1, 32)) for name in DATASETS if name != "flights"
    }
    by_events = features(streamed, tables).localCheckpoint()

    assert chain.run("by_file", [MONTH])["superseded"] == []
    delivered = chain.rows()
    assert {"zip" in place for (place,) in delivered.select("_source_row_id").collect()} == {True}
    by_file = features(delivered, tables).localCheckpoint()
    assert by_file.count() == by_events.count() == made["written"]
    assert by_file.exceptAll(by_events).collect() == []

    # What a source has delivered stands.
    with pytest.raises(SupersededError, match="by by_file: nothing was published"):
        published_by_events(chain, "by_events_again")


def features(flights: DataFrame, tables: dict[str, DataFrame]) -> DataFrame:
    given = {**tables, "flights": flights, "route_delay_statistics": by_spark(flights)}
    return arrival_delay_features.features(given).drop("_source_row_id")
