"""Features of flights by what a stream has read up to their cutoffs: those of batch, value for value."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from millstream.lake.storage import local_uri
from millstream.streams.live_features import live_features
from millstream.transforms.arrival_delay_features import KEY, LABEL, features
from millstream_demo.flight_events import events_of
from tests.support.reference_silver import DATASETS, silver_rows
from tests.support.route_statistics import by_spark
from tests.support.streaming import commit, messages, records, stream
from tests.support.thorough import thorough

pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]

# On the thirteenth a plane is scheduled to leave twice at one time.
MONTH, DAYS, STREAMED = 1, range(11, 14), 13
HOUR = timedelta(hours=1)
MORNING = datetime(2013, 1, 13, 9, tzinfo=UTC)
EVENING = datetime(2013, 1, 14, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def batch(spark: SparkSession) -> Iterator[dict[str, DataFrame]]:
    """The tables as batch reads them once the month has been delivered."""
    tables = {name: silver_rows(spark, name, MONTH, DAYS).persist() for name in DATASETS}
    tables["route_delay_statistics"] = by_spark(tables["flights"])
    yield tables
    for table in tables.values():
        table.unpersist()


@pytest.fixture(scope="module")
def expected(batch: dict[str, DataFrame]) -> Iterator[DataFrame]:
    made = features(batch).where(F.dayofmonth("flight_date") == STREAMED).persist()
    yield made
    made.unpersist()


@pytest.fixture(scope="module")
def events(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> DataFrame:
    """`silver.flight_events` as the stream writes it of a day."""
    lake = stream(local_uri(tmp_path_factory.mktemp("lake")))
    sent = messages(events_of(date(2013, MONTH, STREAMED)))
    assert commit(lake, records(spark, sent)) is not None
    return spark.read.format("delta").load(lake.silver.uri(lake.lake_root))


def by_flight(rows: DataFrame) -> dict[tuple[Any, ...], dict[str, Any]]:
    """But for the label, which is what is to be predicted."""
    found = [row.asDict() for row in rows.drop(LABEL, "_source_row_id").collect()]
    named = {tuple(row[name] for name in KEY): row for row in found}
    assert len(named) == len(found)
    return named


# From `since` on; the second of each is the cutoff of several flights, and of these nothing else has come.
ROUNDS = [
    (MORNING, EVENING),
    *thorough(*((MORNING + number * HOUR, MORNING + (number + 1) * HOUR) for number in range(15))),
]


@pytest.mark.parametrize(("since", "clock"), ROUNDS)
def test_features_by_events_up_to_the_cutoff_equal_those_of_batch(
    batch: dict[str, DataFrame], expected: DataFrame, events: DataFrame, since: datetime, clock: datetime
) -> None:
    """The files have the days before, and of the day itself one carrier's flights, with how they ended."""
    delivered = (F.dayofmonth("flight_date") < STREAMED) | (F.col("carrier") == "UA")
    tables = {**batch, "flights": batch["flights"].where(delivered)}
    come = events.where(F.unix_seconds("event_time") < int(clock.timestamp()))
    live = by_flight(live_features(come, tables, since, clock))

    cutoff = F.unix_seconds("cutoff_utc")
    due = (cutoff > int(since.timestamp())) & (cutoff <= int(clock.timestamp()))
    of_batch = by_flight(expected.where(due))
    assert len(of_batch) > 5
    assert live.keys() == of_batch.keys()
    differ = {
        (*key, name): (value, live[key][name])
        for key, row in of_batch.items()
        for name, value in row.items()
        if value != live[key][name]
    }
    assert differ == {}
