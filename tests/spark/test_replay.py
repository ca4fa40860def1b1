"""Quarantined rows under today's rules or by a person's decision: they move, and none is lost or doubled."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from millstream.errors import DecisionRefusedError, SourceDataError
from millstream.lake import history
from millstream.lake.accounts import Account, PartitionCounts
from millstream.lake.tables import DECISIONS, TableRef
from millstream.publishing import decisions
from millstream.quality.suite import Suite
from millstream.upkeep import reconcile
from millstream.upkeep.retention import remove_landed
from tests.support.chain import Chain, contract_of, month_zip, small_suite
from tests.support.flights_rows import AA1141, B6725, EV4308, FEBRUARY, POSITIVE_DISTANCE, UA1545
from tests.support.replays import counts, staged_by, state
from tests.support.thorough import thorough

PLANES = TableRef.parse("silver.planes")
MONTHS = ["2013-01", "2013-02"]
NEGATIVE = AA1141.replace(",1089,", ",-1089,")
SHORT = "2013,1,1,555"
ANY_DISTANCE = {**POSITIVE_DISTANCE, "kwargs": {"column": "distance_mi", "min_value": -5000}}
NOT_AMERICAN = {
    "type": "expect_column_values_to_not_be_in_set",
    "kwargs": {"column": "carrier", "value_set": ["AA"], "mostly": 0.1},
    "severity": "critical",
    "meta": {},
}
NOT_UNITED = {**NOT_AMERICAN, "kwargs": {"column": "carrier", "value_set": ["ZZ"], "mostly": 0.1}}
LOW = {
    "type": "expect_column_values_to_be_between",
    "kwargs": {"column": "alt_ft", "max_value": 20_000, "mostly": 0.0},
    "severity": "critical",
    "meta": {},
}
KNOWN_PLANE = {
    "type": "expect_column_values_to_be_in_set",
    "kwargs": {"column": "_ref_tailnum", "value_set": [True], "mostly": 0.1},
    "severity": "critical",
    "meta": {},
}


@pytest.fixture(scope="module")
def ingested(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """January and February, published by one run. One row breaks a rule (flight 1141), one is unreadable, one
    flight's plane (4308) is not known yet."""
    folder = tmp_path_factory.mktemp("ingested")
    chain = flights_in(spark, folder)
    register(chain, "N14228", "N619AA", "N804JB", "N197UW")
    chain.put("flights/flights_2013-01.csv.zip", month_zip(UA1545, NEGATIVE, SHORT, B6725, EV4308))
    chain.put("flights/flights_2013-02.csv.zip", month_zip(FEBRUARY))
    assert counts(chain.run("r1", MONTHS)) == (6, 3, 3, 0, 0, 0)
    return folder


def flights_in(spark: SparkSession, folder: Path) -> Chain:
    return Chain(spark, folder, contract_of("flights"), small_suite(POSITIVE_DISTANCE, KNOWN_PLANE))


@pytest.fixture
def flights(spark: SparkSession, ingested: Path, tmp_path: Path) -> Chain:
    """A copy of that lake for each test."""
    shutil.copytree(ingested, tmp_path, dirs_exist_ok=True)
    return flights_in(spark, tmp_path)


def register(chain: Chain, *tailnums: str) -> None:
    """Publish `silver.planes` with these planes."""
    many = len(tailnums)
    whole = PartitionCounts(read=many, written=many, quarantined=0, deduplicated=0, content_hash="1")
    account = Account(
        table=str(PLANES),
        run="p",
        partitions={"all": whole},
        verdict={},
        suite_version="1",
        code_version="test",
    )
    rows = chain.spark.createDataFrame([(one,) for one in tailnums], "tailnum string")
    writer = rows.write.format("delta").mode("overwrite").option("userMetadata", account.model_dump_json())
    writer.save(PLANES.uri(chain.root))


def publish_again(chain: Chain, run: str = "r1", **arguments: Any) -> dict[str, Any]:
    """What `r1` staged, published once more, as when a person clears that task."""
    return chain.publish(run, staged_by(chain, "r1", rows=6), MONTHS, **arguments)


def published(chain: Chain) -> set[int]:
    return {row["flight"] for row in chain.rows().collect()}


def kept(chain: Chain) -> set[int | None]:
    return {row["flight"] for row in chain.rows(chain.table.quarantine).collect()}


def test_a_search_tells_what_is_there_and_changes_nothing(flights: Chain) -> None:
    before = state(flights)
    found = flights.find("q1")
    assert found["rows"] == 3
    assert [(group["partition"], group["rows"], group["reason"]) for group in found["groups"]] == [
        ("2013-01", 1, "_ref_tailnum in set [True]"),
        ("2013-01", 1, "distance_mi is at least 1"),
        ("2013-01", 1, "record: 4 fields where the header has 19"),
    ]
    assert found["pieces"] == [{"source_run": "r1", "partitions": ["2013-01"]}]
    assert "1 of the chosen rows" in found["refusal"]
    chosen = flights.find("q1", reason="distance_mi", partition="2013-01")
    assert (chosen["rows"], chosen["refusal"]) == (1, None)
    assert flights.find("q1", partition="2013-02")["pieces"] == []
    assert state(flights) == before


def test_every_row_is_kept_as_it_was_received(flights: Chain) -> None:
    rows = {row["flight"]: row for row in flights.rows(flights.table.quarantine).collect()}
    record = dict(zip(flights.contract.column_names, NEGATIVE.split(","), strict=True))
    assert json.loads(rows[1141]["_source_record"]) == record
    assert (rows[1141]["_malformed"], rows[1141]["_run"]) == ([], "r1")
    versions = (flights.contract.version, Suite.from_dict(flights.suite).version)
    assert {(row["_contract_version"], row["_suite_version"]) for row in rows.values()} == {versions}
    assert rows[1141]["_source_row_id"].endswith("#2")
    assert rows[None]["_source_record"] == SHORT
    assert rows[None]["_malformed"] == rows[None]["_reasons"]


@pytest.mark.parametrize("mode", ["elt", *thorough("etl")])
def test_what_the_contract_does_not_know_and_what_was_null_are_kept_too(
    spark: SparkSession, tmp_path: Path, mode: str
) -> None:
    chain = Chain(spark, tmp_path, contract_of("airports"), small_suite(LOW))
    sent = {"faa": "XYZ", "name": "Far Up", "lat": "1.5", "lon": "2.5", "alt": "90000", "tz": None}
    record = {**dict.fromkeys(chain.contract.column_names), **sent, "runways": "2"}
    fields = "".join(f"<{name}>{value or ''}</{name}>" for name, value in record.items())
    chain.put("airports/airports.xml", f"<airports><airport>{fields}</airport></airports>")
    assert counts(chain.run("r1", mode=mode))[:3] == (1, 0, 1)
    (row,) = chain.rows(chain.table.quarantine).collect()
    assert json.loads(row["_source_record"]) == record


def test_a_row_that_is_good_under_todays_rules_enters_the_table(flights: Chain) -> None:
    flights.suite = small_suite(ANY_DISTANCE, KNOWN_PLANE)
    february = flights.rows().where("month = '2013-02'").collect()
    found = flights.find("q1")
    (result,) = flights.replay("q1", found)
    assert counts(result) == (5, 3, 2, 0, 0, 0)
    assert published(flights) == {1545, 1141, 725, 1117}
    assert kept(flights) == {None, 4308}
    assert flights.rows().where("month = '2013-02'").collect() == february
    account = flights.account()
    assert (account.run, account.replay, list(account.partitions)) == ("r1", "q1", ["2013-01"])
    assert reconcile.compare(flights.root, {"flights": timedelta()}, {}, datetime.now(UTC)) == []

    after = state(flights)
    assert flights.replay("q2", found)[0]["changed"] is False
    assert state(flights) == after


def test_a_plane_that_arrives_after_its_flights_frees_them(flights: Chain) -> None:
    register(flights, "N14228", "N619AA", "N804JB", "N197UW", "N18120")
    (result,) = flights.replay("q1")
    assert counts(result) == (5, 3, 2, 0, 0, 0)
    assert published(flights) == {1545, 725, 4308, 1117}
    assert kept(flights) == {None, 1141}


def test_an_accepted_row_is_published_and_stays_so(flights: Chain) -> None:
    assert flights.decide("q1", "accept", reason="distance_mi")["rows"] == 1
    (result,) = flights.replay("q1")
    assert counts(result) == (5, 3, 2, 0, 0, 1)
    assert published(flights) == {1545, 1141, 725, 1117}
    assert kept(flights) == {None, 4308}
    (decision,) = flights.rows(DECISIONS).collect()
    assert (decision["action"], decision["decided_by"], decision["run"]) == ("accept", "ada", "q1")

    after = state(flights)
    again = flights.run("r2", ["2013-01"])
    assert counts(again) == counts(result)
    assert not again["changed"]
    assert state(flights) == after


def test_a_dropped_row_is_in_neither_table_until_decided_otherwise(flights: Chain) -> None:
    version = flights.find("q1")["version"]
    flights.decide("q1", "drop")
    result = publish_again(flights)
    assert counts(result) == (6, 3, 0, 0, 3, 0)
    assert published(flights) == {1545, 725, 1117}
    assert kept(flights) == set()
    assert flights.account().partitions["2013-01"].dropped == 3
    assert publish_again(flights)["changed"] is False

    flights.decide("q2", "accept", version, reason="distance_mi")
    made = history.version(DECISIONS, flights.root)
    assert made is not None
    newest = decisions.newest(flights.spark, flights.table, flights.root, made).collect()
    assert sorted(row["_decision"] for row in newest) == ["accept", "drop", "drop"]
    assert flights.rows(DECISIONS).count() == 4


@pytest.mark.thorough
def test_an_accepted_row_that_breaks_a_later_rule_is_kept_back_again(flights: Chain) -> None:
    """Nobody has said that it may break that one too."""
    flights.decide("q1", "accept", reason="distance_mi")
    assert counts(publish_again(flights)) == (6, 4, 2, 0, 0, 1)

    flights.suite = small_suite(POSITIVE_DISTANCE, KNOWN_PLANE, NOT_AMERICAN)
    staged = staged_by(flights, "r1", rows=6)
    flights.judge("r1", staged)
    assert counts(flights.publish("r1", staged, MONTHS)) == (6, 3, 3, 0, 0, 0)
    (row,) = flights.rows(flights.table.quarantine).where("flight = 1141").collect()
    assert len(row["_reasons"]) == 2

    flights.decide("q2", "accept", reason="carrier")
    assert counts(flights.publish("r1", staged, MONTHS)) == (6, 4, 2, 0, 0, 1)


def test_a_withdrawn_decision_leaves_the_row_to_the_rules(flights: Chain) -> None:
    flights.decide("q1", "drop", reason="_ref_tailnum")
    flights.decide("q2", "accept", reason="distance_mi")
    assert counts(flights.replay("q2")[0]) == (5, 3, 1, 0, 1, 1)
    found = flights.find("q3", action="withdraw")
    assert [(group["rows"], group["reason"]) for group in found["groups"]] == [
        (1, "_ref_tailnum in set [True]"),
        (1, "distance_mi is at least 1"),
    ]
    assert found["pieces"] == [{"source_run": "r1", "partitions": ["2013-01"]}]

    assert flights.decide("q3", "withdraw", reason="distance_mi")["rows"] == 1
    (result,) = flights.replay("q3", found)
    assert counts(result) == (5, 2, 2, 0, 1, 0)
    assert published(flights) == {1545, 725, 1117}
    assert kept(flights) == {None, 1141}
    left = flights.find("q4", action="withdraw")
    assert [group["reason"] for group in left["groups"]] == ["_ref_tailnum in set [True]"]
    assert flights.rows(DECISIONS).count() == 3


@pytest.mark.thorough
def test_a_withdrawal_reaches_a_row_that_another_run_has_published_since(flights: Chain) -> None:
    flights.decide("q1", "accept", reason="distance_mi")
    assert counts(flights.replay("q1")[0]) == (5, 3, 2, 0, 0, 1)
    flights.suite = small_suite(POSITIVE_DISTANCE, KNOWN_PLANE, NOT_UNITED)
    assert counts(flights.run("r2", MONTHS[:1])) == (5, 3, 2, 0, 0, 1)

    found = flights.find("q2", action="withdraw")
    assert found["pieces"] == [{"source_run": "r2", "partitions": ["2013-01"]}]
    flights.decide("q2", "withdraw")
    assert counts(flights.replay("q2", found)[0]) == (5, 2, 3, 0, 0, 0)
    assert published(flights) == {1545, 725, 1117}


def test_what_cannot_stand_in_the_table_cannot_be_accepted(flights: Chain) -> None:
    before = state(flights)
    with pytest.raises(DecisionRefusedError, match=r"1 of the chosen rows .*#3: record: 4 fields"):
        flights.decide("q1", "accept")
    assert state(flights) == before


def test_when_landed_bytes_are_gone_bronze_is_replayed(flights: Chain) -> None:
    now = datetime.now(UTC)
    assert remove_landed(flights.root, "flights", now, now).removed_files == 2
    flights.suite = small_suite(ANY_DISTANCE)
    (result,) = flights.replay("q1")
    assert counts(result) == (5, 4, 1, 0, 0, 0)
    assert flights.rows(flights.table.quarantine).collect()[0]["_source_record"] == SHORT


def test_landed_bytes_that_retention_has_removed_are_told_as_such(flights: Chain) -> None:
    now = datetime.now(UTC)
    remove_landed(flights.root, "flights", now, now)
    with pytest.raises(
        SourceDataError, match=r"retention has removed what run r1 landed.*clear the run from plan"
    ):
        flights.load_bronze("r1")
