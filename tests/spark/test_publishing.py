"""Publishes that meet: which rows stand, and what is made up for."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from pyspark.sql import SparkSession

from millstream.errors import (
    ClusterError,
    SupersededError,
)
from millstream.lake import delta, history
from millstream.lake.delta import Transaction, replace
from millstream.lake.tables import DECISIONS
from millstream.publishing import write
from millstream.transforms import flights as flights_module
from tests.support.chain import Chain, month_zip
from tests.support.flights_rows import AA1141, B6725, EV4308, FEBRUARY, UA1545


def test_of_two_attempts_the_newer_stays(published: Chain, spark: SparkSession) -> None:
    uri = published.table.uri(published.root)
    rows = published.rows().localCheckpoint()
    replace(rows.where("flight = 725"), uri, None, Transaction("w", 20, '{"newer": 1}'))
    with pytest.raises(SupersededError, match="a newer attempt has already published"):
        replace(rows, uri, None, Transaction("w", 10, '{"older": 1}'))
    assert [row["flight"] for row in published.rows().collect()] == [725]


def test_a_slow_backfill_brings_back_no_older_bytes(published: Chain) -> None:
    published.put("flights/flights_2013-02.csv.zip", month_zip(FEBRUARY))
    published.land("backfill", ["2013-01", "2013-02"])
    published.put("flights/flights_2013-01.csv.zip", month_zip(UA1545, AA1141))
    published.run("daily", ["2013-01"])

    staged = published.stage("backfill")
    published.judge("backfill", staged)
    result = published.publish("backfill", staged, ["2013-01", "2013-02"])
    assert (result["superseded"], result["partitions"], result["read"]) == (["2013-01"], ["2013-02"], 1)
    assert {row["flight"] for row in published.rows().collect()} == {1545, 1141, 1117}
    newest = history.read(published.table, published.root).latest_by_partition()
    assert {name: entry.run for name, (entry, _) in newest.items()} == {
        "2013-01": "daily",
        "2013-02": "backfill",
    }


def test_one_run_of_two_months_leaves_what_two_runs_leave(
    published: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the key does not hold the month, and both have it."""
    monkeypatch.setattr(flights_module, "KEY", ("carrier", "flight"))
    again = UA1545.replace("2013,1,1,", "2013,2,1,").replace("2013-01-01", "2013-02-01")
    published.put("flights/flights_2013-02.csv.zip", month_zip(again, again, FEBRUARY))

    def left() -> list[tuple[str, int]]:
        return sorted((row["month"], row["flight"]) for row in published.rows().collect())

    assert published.run("february", ["2013-02"])["deduplicated"] == 1
    apart = left()
    assert ("2013-01", 1545) in apart
    assert ("2013-02", 1545) in apart
    published.run("both", ["2013-01", "2013-02"])
    assert left() == apart


def test_what_another_run_has_loaded_meanwhile_is_not_published_as_ones_own(published: Chain) -> None:
    """A backfill has replaced January in bronze by a delivery that was cut off, and its gate refuses that."""
    published.put("flights/flights_2013-01.csv.zip", month_zip(UA1545, AA1141, B6725))
    published.land("daily", ["2013-01"])
    published.load_bronze("daily")
    published.put("flights/flights_2013-01.csv.zip", month_zip(EV4308))
    published.land("backfill", ["2013-01"])
    published.load_bronze("backfill")

    staged = published.transform("daily")
    assert (staged["rows"], staged["inputs"].get("bronze.flights")) == (3, None)
    published.judge("daily", staged)
    published.publish("daily", staged, ["2013-01"])
    assert {row["flight"] for row in published.rows().collect()} == {1545, 1141, 725}
    assert published.transform("backfill")["inputs"]["bronze.flights"] == 2


@pytest.mark.thorough
def test_a_publish_that_ended_between_its_commits_is_made_up_for(
    flights: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The quarantine is a later run's, for good; then the bytes come back that the table was made of."""
    first = month_zip(UA1545, AA1141.replace(",1089,", ",-1089,"))
    flights.put("flights/flights_2013-01.csv.zip", first)
    flights.run("r1", ["2013-01"])

    def ended(*arguments: object) -> None:
        raise ClusterError("the run was ended")

    flights.put("flights/flights_2013-01.csv.zip", month_zip(UA1545, AA1141))
    with monkeypatch.context() as patch:
        patch.setattr(write, "_write_rows", ended)
        with pytest.raises(ClusterError, match="was ended"):
            flights.run("r2", ["2013-01"])
    assert flights.rows(flights.table.quarantine).isEmpty()

    flights.put("flights/flights_2013-01.csv.zip", first)
    assert flights.run("r3", ["2013-01"])["changed"]
    assert [row["flight"] for row in flights.rows(flights.table.quarantine).collect()] == [1141]
    assert not flights.run("r4", ["2013-01"])["changed"]


def test_a_publish_reads_each_history_once_before_it_writes(
    flights: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it decides from one look still holds at the commit: it has the table's turn."""
    flights.put("flights/flights_2013-01.csv.zip", month_zip(UA1545, AA1141.replace(",1089,", ",-1089,")))
    flights.run("r1", ["2013-01"])
    flights.put("flights/flights_2013-01.csv.zip", month_zip(UA1545, B6725.replace(",1576,", ",-1576,")))
    flights.land("r2", ["2013-01"])
    staged = flights.stage("r2")
    flights.judge("r2", staged)
    sequence = history.read_both(flights.table, flights.root).next_sequence(flights.now())

    opened: list[str] = []
    before_writing: list[Counter[str]] = []
    open_log, replace_rows = history._open, write.replace

    def counting(uri: str, version: int | None = None) -> Any:
        opened.append(uri)
        return open_log(uri, version)

    def replacing(*arguments: Any, **more: Any) -> None:
        before_writing.append(Counter(opened))
        replace_rows(*arguments, **more)

    monkeypatch.setattr(history, "_open", counting)
    monkeypatch.setattr(write, "replace", replacing)
    result = flights.publish("r2", staged, ["2013-01"], sequence=sequence)
    assert (result["changed"], result["quarantined"]) == (True, 1)
    of_the_quarantine, _ = before_writing
    places = (flights.table, flights.table.quarantine, DECISIONS)
    assert of_the_quarantine == {place.uri(flights.root): 1 for place in places}


def test_a_table_is_published_by_one_run_at_a_time(published: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    published.put("flights/flights_2013-01.csv.zip", month_zip(UA1545, AA1141))
    published.land("r2", ["2013-01"])
    staged = published.stage("r2")
    published.judge("r2", staged)
    monkeypatch.setattr(delta, "TURN_TIMEOUT_S", 0.1)
    with (
        delta.turn(published.table, published.root),
        pytest.raises(ClusterError, match=r"another process has held the lock silver\.flights"),
    ):
        published.publish("r2", staged, ["2013-01"])
    assert published.rows().count() == 4
    assert published.publish("r2", staged, ["2013-01"])["written"] == 2
