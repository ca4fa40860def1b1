"""A day of flights by events and by the monthly file: the same rows, value for value."""

from __future__ import annotations

from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from millstream.errors import QualityGateError, SourceDataError
from millstream.quality.suites import suite_in
from millstream.settings import CHECKOUT
from millstream.streams.delays import by_carrier, by_hour, latest
from millstream.streams.fold import fold
from millstream.transforms.airport_delays_batch import FIGURES, aggregate
from millstream_demo import reference
from millstream_demo.flight_events import events_of
from tests.support.airport_delays import figures_of
from tests.support.chain import Chain, contract_of, month_zip, small_suite
from tests.support.flights_rows import POSITIVE_DISTANCE
from tests.support.streaming import DAY, commit, day_messages, records, rows, stream

MONTH = "2013-01"


def by_key(found: list[dict[str, Any]]) -> dict[tuple[Any, ...], dict[str, Any]]:
    named = {
        tuple(row[name] for name in ("flight_date", "carrier", "flight", "origin")): row
        | {"_source_row_id": None}
        for row in found
    }
    assert len(named) == len(found)
    return named


def test_a_day_by_events_equals_the_day_by_its_file(spark: SparkSession, tmp_path: Path) -> None:
    start = f"{DAY.year},{DAY.month},{DAY.day},".encode()
    lines = [line.decode().strip() for line in reference.flight_lines() if line.startswith(start)]
    chain = Chain(spark, tmp_path, contract_of("flights"), small_suite(POSITIVE_DISTANCE))
    chain.put(f"flights/flights_{MONTH}.csv.zip", month_zip(*lines))
    assert chain.run("r1", [MONTH])["written"] == len(lines)
    lake = stream(chain.root)
    account = commit(lake, records(spark, day_messages()))
    assert account is not None
    assert account.quarantined == 0

    events = spark.read.format("delta").load(lake.silver.uri(chain.root))
    folded = fold(events)
    assert [row["_malformed"] for row in folded.where("size(_malformed) > 0").collect()] == []
    batch = spark.read.format("delta").load(f"{chain.root}/silver/flights")
    columns = batch.columns
    streamed = by_key([row.asDict() for row in folded.select(*columns).collect()])
    assert streamed == by_key([row.asDict() for row in batch.collect()])

    assert_judged(chain, columns, streamed)
    assert_delays(spark, chain.root)


def assert_judged(chain: Chain, columns: list[str], flights: dict[tuple[Any, ...], dict[str, Any]]) -> None:
    """`watch_streams` stages the same rows, its gate lets them pass, and they stay in the staging area."""
    staged = chain.job("fold_days", "r2", first_day=None, last_day=str(DAY))
    assert staged["parameters"] == {"first_date": str(DAY), "last_date": str(DAY), "days": 1}
    rows_of = chain.spark.read.format("delta").load(staged["staged_uri"]).select(*columns).collect()
    assert by_key([row.asDict() for row in rows_of]) == flights
    before = DeltaTable(f"{chain.root}/silver/flights").version()
    judged = {name: staged[name] for name in ("staged_uri", "staged_version", "inputs", "parameters")}
    suite = suite_in(CHECKOUT, "flights")
    verdict = chain.job("quality_gate", "r2", table="silver.flights", suite=suite, **judged)
    assert (verdict["passed"], verdict["evaluated"]) == (True, len(flights))
    assert DeltaTable(f"{chain.root}/silver/flights").version() == before
    with pytest.raises(SourceDataError, match="no event of a flight until 2013-01-14"):
        chain.job("fold_days", "r3", first_day=None, last_day=str(DAY - timedelta(days=1)))
    # Nine days without an event.
    few = chain.job("fold_days", "r4", first_day=str(DAY - timedelta(days=9)), last_day=str(DAY))
    judged = {name: few[name] for name in ("staged_uri", "staged_version", "inputs", "parameters")}
    with pytest.raises(QualityGateError):
        chain.job("quality_gate", "r4", table="silver.flights", suite=suite, **judged)


def assert_delays(spark: SparkSession, root: str) -> None:
    """The figures, against plain Python over what was sent."""
    expected = figures_of(events_of(DAY))
    events = spark.read.format("delta").load(f"{root}/silver/flight_events")
    found = {
        (row["airport"], row["carrier"], row["hour"].replace(tzinfo=UTC)): {one: row[one] for one in FIGURES}
        for row in aggregate(events).collect()
    }
    assert found == dict(expected)
    assert len(rows("silver.flight_events", root)) == sum(
        sum(one[name] for name in ("scheduled", "departed", "arrived", "cancelled")) for one in found.values()
    )
    hours = sorted({hour for _, _, hour in expected})
    last_day = {hour for hour in hours if (hours[-1] - hour).total_seconds() < 24 * 3600}
    sums = sum(one["arrived"] for (_, _, hour), one in expected.items() if hour in last_day)
    lately = latest(aggregate(events))
    for figures in (by_carrier(lately), by_hour(lately)):
        assert sum(row["arrived"] for row in figures.collect()) == sums
    hourly = {(row["airport"], row["hour"]): row["arrived"] for row in by_hour(lately).collect()}
    at = f"{hours[-1]:%Y-%m-%d %H:%M:%S}"
    assert sum(hourly.get((airport, at), 0) for airport in ("EWR", "JFK", "LGA")) == sum(
        one["arrived"] for (_, _, hour), one in expected.items() if hour == hours[-1]
    )
