"""Quarantined rows under today's rules or by a person's decision: they move, and none is lost or doubled."""

from __future__ import annotations

import io
import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from chain import Chain, contract_of, month_zip, small_suite
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from test_ingest_chain import AA1141, B6725, EV4308, FEBRUARY, POSITIVE_DISTANCE, UA1545

from millstream import ledger, reconcile
from millstream.decisions import DECISIONS
from millstream.errors import DecisionRefusedError, SupersededError
from millstream.lake.storage import Storage
from millstream.lake.tables import TableRef
from millstream.landing import Landing, in_memory
from millstream.retention import remove_landed

PLANES = TableRef.parse("silver.planes")
NEGATIVE = AA1141.replace(",1089,", ",-1089,")
SHORT = "2013,1,1,555"
ANY_DISTANCE = {**POSITIVE_DISTANCE, "kwargs": {"column": "distance_mi", "min_value": -5000}}
KNOWN_PLANE = {
    "type": "expect_column_values_to_be_in_set",
    "kwargs": {"column": "_ref_plane", "value_set": [True], "mostly": 0.1},
    "severity": "critical",
    "meta": {},
}


@pytest.fixture(scope="module")
def ingested(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """January with a row that breaks a rule, and February; published by one run."""
    folder = tmp_path_factory.mktemp("ingested")
    chain = flights_in(spark, folder)
    chain.put("flights/flights_2013-01.csv.zip", month_zip(UA1545, NEGATIVE, B6725, EV4308))
    chain.put("flights/flights_2013-02.csv.zip", month_zip(FEBRUARY))
    chain.run("r1", ["2013-01", "2013-02"])
    return folder


def flights_in(spark: SparkSession, folder: Path) -> Chain:
    return Chain(spark, folder, contract_of("flights"), small_suite(POSITIVE_DISTANCE))


@pytest.fixture
def flights(spark: SparkSession, ingested: Path, tmp_path: Path) -> Chain:
    """A copy of that lake for each test."""
    shutil.copytree(ingested, tmp_path, dirs_exist_ok=True)
    return flights_in(spark, tmp_path)


def state(chain: Chain) -> dict[str, Any]:
    """Version of every table that a replay could touch."""
    tables = (chain.table, chain.table.quarantine, DECISIONS)
    return {str(table): ledger.version(table, chain.root) for table in tables}


def published(chain: Chain) -> set[int]:
    return {row["flight"] for row in chain.rows().collect()}


def kept(chain: Chain) -> set[int]:
    return {row["flight"] for row in chain.rows(chain.table.quarantine).collect()}


def counts(result: dict[str, Any]) -> tuple[int, ...]:
    """Read, then what it is the sum of, then the accepted ones among the written."""
    names = ("written", "quarantined", "deduplicated", "dropped")
    parts = tuple(result[name] for name in names)
    assert result["read"] == sum(parts)
    return (result["read"], *parts, result["accepted"])


def test_a_search_tells_what_is_there_and_changes_nothing(flights: Chain) -> None:
    before = state(flights)
    found = flights.find("q1")
    (group,) = found["groups"]
    assert (found["rows"], group["partition"], group["rows"]) == (1, "2013-01", 1)
    assert "distance_mi" in group["reason"]
    assert found["pieces"] == [{"source_run": "r1", "partitions": ["2013-01"]}]
    assert found["refusal"] is None
    assert flights.find("q1", reason="tailnum")["rows"] == 0
    assert flights.find("q1", partition="2013-02")["pieces"] == []
    assert state(flights) == before


def test_a_readable_row_is_kept_as_it_was_received(flights: Chain) -> None:
    (row,) = flights.rows(flights.table.quarantine).collect()
    record = json.loads(row["_source_record"])
    assert record == dict(zip(flights.contract.column_names, NEGATIVE.split(","), strict=True))
    assert (row["_malformed"], row["_run"], row["_source_row_id"][-2:]) == ([], "r1", "#2")


def test_a_row_that_is_good_under_todays_rules_enters_the_table(flights: Chain) -> None:
    assert flights.replay("q1")[0]["changed"] is False
    flights.suite = small_suite(ANY_DISTANCE)
    before = flights.rows().where("month = '2013-02'").collect()
    (result,) = flights.replay("q2")
    assert counts(result) == (4, 4, 0, 0, 0, 0)
    assert published(flights) == {1545, 1141, 725, 4308, 1117}
    assert kept(flights) == set()
    assert flights.rows().where("month = '2013-02'").collect() == before
    account = flights.account()
    assert (account.run, account.replay, list(account.partitions)) == ("r1", "q2", ["2013-01"])

    assert reconcile.compare(flights.root, {"flights": timedelta()}, {}, datetime.now(UTC)) == []

    assert flights.find("q3")["rows"] == 0
    after = state(flights)
    again = {"pieces": [{"source_run": "r1", "partitions": ["2013-01"]}]}
    assert flights.replay("q3", again)[0]["changed"] is False
    assert state(flights) == after


def test_a_plane_that_arrives_after_its_flights_frees_them(flights: Chain) -> None:
    def planes(*tailnums: str) -> None:
        account = ledger.Entry(
            table=str(PLANES), run="p", partitions={}, verdict={}, suite_version="1", code_version="test"
        )
        rows = flights.spark.createDataFrame([(one,) for one in tailnums], "tailnum string").write
        rows.format("delta").mode("overwrite").option("userMetadata", account.model_dump_json()).save(
            PLANES.uri(flights.root)
        )

    flights.suite = small_suite(KNOWN_PLANE)
    planes("N14228", "N804JB", "N18120")
    (result,) = flights.replay("q1")
    assert counts(result) == (4, 3, 1, 0, 0, 0)
    (row,) = flights.rows(flights.table.quarantine).collect()
    assert (row["flight"], row["_reasons"]) == (1141, ["_ref_plane in set [True]"])
    planes("N14228", "N804JB", "N18120", "N619AA")
    (result,) = flights.replay("q2")
    assert counts(result) == (4, 4, 0, 0, 0, 0)
    assert kept(flights) == set()


def test_an_accepted_row_is_published_and_stays_so(flights: Chain) -> None:
    assert flights.decide("q1", "accept")["rows"] == 1
    (result,) = flights.replay("q1")
    assert counts(result) == (4, 4, 0, 0, 0, 1)
    assert 1141 in published(flights)
    assert kept(flights) == set()
    (decision,) = flights.rows(DECISIONS).collect()
    assert (decision["action"], decision["decided_by"], decision["run"]) == ("accept", "ada", "q1")

    after = state(flights)
    again = flights.run("r2", ["2013-01"])
    assert counts(again) == counts(result)
    assert not again["changed"]
    assert state(flights) == after


def test_a_dropped_row_is_in_neither_table_until_decided_otherwise(flights: Chain) -> None:
    found = flights.find("q1")
    flights.decide("q1", "drop")
    (result,) = flights.replay("q1")
    assert counts(result) == (4, 3, 0, 0, 1, 0)
    assert 1141 not in published(flights) | kept(flights)
    assert flights.account().partitions["2013-01"].dropped == 1

    flights.job(
        "record_decision",
        "q2",
        table=str(flights.table),
        quarantine_version=found["quarantine_version"],
        action="accept",
        decided_by="bob",
        decided_at=datetime.now(UTC).isoformat(),
    )
    (result,) = flights.replay("q2", found)
    assert counts(result) == (4, 4, 0, 0, 0, 1)
    assert {row["decided_by"] for row in flights.rows(DECISIONS).collect()} == {"ada", "bob"}


def test_what_cannot_stand_in_the_table_cannot_be_accepted(flights: Chain) -> None:
    flights.put("flights/flights_2013-01.csv.zip", month_zip(UA1545, SHORT, NEGATIVE, B6725, EV4308))
    flights.run("r2", ["2013-01"])
    before = state(flights)
    with pytest.raises(DecisionRefusedError, match=r"1 of the chosen rows .*#2: record: 4 fields"):
        flights.decide("q1", "accept")
    assert state(flights) == before
    assert flights.decide("q1", "accept", reason="distance_mi")["rows"] == 1
    (result,) = flights.replay("q1")
    assert counts(result) == (5, 4, 1, 0, 0, 1)
    assert "1 of the chosen rows" in flights.find("q2")["refusal"]


def test_a_replay_gives_way_to_a_newer_ingest(flights: Chain) -> None:
    found = flights.find("q1")
    flights.put("flights/flights_2013-01.csv.zip", month_zip(UA1545, NEGATIVE))
    flights.run("r2", ["2013-01"])
    flights.suite = small_suite(ANY_DISTANCE)
    before = state(flights)
    with pytest.raises(SupersededError, match="run r1 is not, or no longer"):
        flights.replay("q1", found)
    assert state(flights) == before


def test_when_landed_bytes_are_gone_bronze_is_replayed(flights: Chain) -> None:
    now = datetime.now(UTC)
    assert remove_landed(flights.root, "flights", now, now).removed_files == 2
    flights.suite = small_suite(ANY_DISTANCE)
    (result,) = flights.replay("q1")
    assert counts(result) == (4, 4, 0, 0, 0, 0)


def test_rows_quarantined_by_an_earlier_version_can_be_decided_on(flights: Chain) -> None:
    quarantine = flights.table.quarantine
    old = flights.rows(quarantine).withColumn("_source_record", F.lit(None).cast("string"))
    old.drop("_malformed").localCheckpoint().write.format("delta").mode("overwrite").option(
        "overwriteSchema", "true"
    ).save(quarantine.uri(flights.root))
    assert flights.decide("q1", "accept")["rows"] == 1
    assert counts(flights.replay("q1")[0]) == (4, 4, 0, 0, 0, 1)
    assert "_malformed" in flights.rows(quarantine).columns


NEW = {
    "type": "expect_column_values_to_be_between",
    "kwargs": {"column": "year", "min_value": 1990, "mostly": 0.1},
    "severity": "critical",
    "meta": {},
}
SEATED = {
    "type": "expect_column_values_to_be_between",
    "kwargs": {"column": "seats", "min_value": 1, "mostly": 0.1},
    "severity": "critical",
    "meta": {},
}


@pytest.fixture
def planes(spark: SparkSession, tmp_path: Path) -> Chain:
    return Chain(spark, tmp_path, contract_of("planes"), small_suite(NEW, SEATED))


def increment(chain: Chain, run: str, watermark: str, **planes: tuple[int, int]) -> dict[str, Any]:
    """Ingest planes by tail number: year and seats."""
    columns: dict[str, list[Any]] = {name: [None] * len(planes) for name in chain.contract.column_names}
    columns["tailnum"] = list(planes)
    columns["year"] = [year for year, _ in planes.values()]
    columns["seats"] = [seats for _, seats in planes.values()]
    content = io.BytesIO()
    pq.write_table(pa.table(columns), content)
    landing = Landing(Storage(chain.root), "planes", run)
    file = landing.land(run, f"{run}.parquet", in_memory(content.getvalue()), watermark=watermark)
    landing.commit([], [file])
    staged = chain.stage(run)
    chain.judge(run, staged)
    return chain.publish(run, staged, [], watermark=watermark)


def test_an_old_increment_never_overwrites_a_newer_one(planes: Chain) -> None:
    assert (
        increment(planes, "r1", "2013-01-01", N1=(2000, 10), N2=(1980, 20), N3=(1981, 0))["quarantined"] == 2
    )
    increment(planes, "r2", "2013-02-01", N1=(2001, 11), N4=(1970, 40))
    assert [piece["source_run"] for piece in planes.find("q1")["pieces"]] == ["r1", "r2"]
    with pytest.raises(DecisionRefusedError, match="break a constraint"):
        planes.decide("q1", "accept", reason="seats")

    planes.suite = small_suite(SEATED)
    first, second = planes.replay("q1")
    assert counts(first) == (3, 1, 1, 1, 0, 0)
    assert counts(second) == (2, 2, 0, 0, 0, 0)
    years = {row["tailnum"]: row["year"] for row in planes.rows().collect()}
    assert years == {"N1": 2001, "N2": 1980, "N4": 1970}
    assert ledger.watermark(planes.table, planes.root) == "2013-02-01"

    after = state(planes)
    assert [result["changed"] for result in planes.replay("q2")] == [False]
    assert state(planes) == after

    found = planes.find("q3")
    planes.decide("q3", "drop")
    assert counts(planes.replay("q3", found)[0]) == (3, 1, 0, 1, 1, 0)
    assert planes.rows(planes.table.quarantine).isEmpty()
    assert {row["tailnum"]: row["year"] for row in planes.rows().collect()} == years
