"""Maintenance on real tables: fewer files, the same rows, and pinned versions for ever."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from millstream.errors import ClusterError, ConfigurationError, LakeWriterError
from millstream.jobs.rebuild_ledger import LEDGER
from millstream.lake import history
from millstream.lake.delta import replace
from millstream.lake.log_store import LOG_STORE_CONF
from tests.support.chain import Chain, contract_of, month_zip, small_suite
from tests.support.flights_rows import AA1141, B6725, POSITIVE_DISTANCE, UA1545
from tests.support.ledger_tables import publish
from tests.support.thorough import thorough

pytestmark = pytest.mark.spark
WEEK = 168


@pytest.fixture
def flights(spark: SparkSession, tmp_path: Path) -> Chain:
    return Chain(spark, tmp_path, contract_of("flights"), small_suite(POSITIVE_DISTANCE))


def versions_published(chain: Chain) -> tuple[int, int, int]:
    """The first as the chain publishes it; two more that replace its rows."""
    chain.put("flights/flights_2013-01.csv.zip", month_zip(UA1545, AA1141, B6725))
    first = chain.run("r0", ["2013-01"])["version"]
    for flight in (1545, 1141):
        replace(at(chain, first).where(F.col("flight") == flight), chain.table.uri(chain.root), None)
    return first, first + 1, first + 2


def at(chain: Chain, version: int) -> DataFrame:
    return chain.spark.read.format("delta").option("versionAsOf", version).load(chain.table.uri(chain.root))


def content(chain: Chain, version: int) -> list[str]:
    return sorted(map(str, at(chain, version).collect()))


def assert_gone(chain: Chain, version: int) -> None:
    """The version can no longer be read because its files are not there."""
    with pytest.raises((PySparkException, Py4JJavaError), match="FILE_NOT_EXIST"):
        content(chain, version)


def maintain(
    chain: Chain, hours: int, pins: list[int] | None = None, **more: Any
) -> dict[str, dict[str, Any]]:
    result = chain.job(
        "maintain_tables",
        "m1",
        retention_hours=hours,
        target_file_mb=128,
        pins={str(chain.table): pins or []},
        **more,
    )
    return {one["table"]: one for one in result["tables"]}


def test_a_pinned_version_outlives_every_vacuum_and_an_unpinned_one_does_not(flights: Chain) -> None:
    first, second, third = versions_published(flights)
    before = {version: content(flights, version) for version in (first, third)}
    files = len(at(flights, first).inputFiles())

    assert maintain(flights, WEEK, [first])[str(flights.table)]["removed"] == 0
    would = maintain(flights, 0, [first], dry_run=True)[str(flights.table)]
    assert content(flights, second)
    found = maintain(flights, 0, [first, 99])[str(flights.table)]

    assert would["removed"] == found["removed"] == 1
    assert (found["before"]["stored"], found["after"]["stored"]) == (files + 2, files + 1)
    assert found["after"]["live"] == 1
    assert (found["pinned"], found["lost_pins"]) == ([first], [99])
    assert {version: content(flights, version) for version in (first, third)} == before
    assert_gone(flights, second)
    # Its log is still there.
    assert second in {commit.version for commit in history.read(flights.table, flights.root).commits}

    # A model that was trained on it after that cannot be made again, and is told.
    late = maintain(flights, 0, [first, second])[str(flights.table)]
    assert (late["pinned"], late["lost_pins"]) == ([first], [second])

    assert maintain(flights, 0)[str(flights.table)]["removed"] == files
    assert_gone(flights, first)
    assert content(flights, third) == before[third]


def test_small_files_are_put_together_and_nothing_else_changes(flights: Chain) -> None:
    uri = flights.table.uri(flights.root)
    flights.spark.range(100).repartition(5).write.format("delta").save(uri)
    version = flights.version()
    found = maintain(flights, WEEK)[str(flights.table)]
    assert (found["before"]["live"], found["after"]["live"], found["wanted"], found["removed"]) == (
        5,
        1,
        1,
        0,
    )
    assert sorted(row["id"] for row in flights.rows().collect()) == list(range(100))
    assert history.read(flights.table, flights.root).unchanged_since(version)
    # The log of a table that Spark made by itself is kept from now on.
    properties = flights.spark.sql(f"DESCRIBE DETAIL delta.`{uri}`").collect()[0]["properties"]
    assert properties["delta.enableExpiredLogCleanup"] == "false"

    again = maintain(flights, 0)[str(flights.table)]
    assert (again["removed"], again["after"]["stored"]) == (5, 1)
    assert flights.rows().count() == 100
    settled = flights.version()
    maintain(flights, WEEK)
    assert flights.version() == settled


@pytest.mark.thorough
def test_a_table_may_have_a_target_size_of_its_own(flights: Chain) -> None:
    rows = flights.spark.range(1_000_000).select(F.rand(1).alias("number"))
    rows.repartition(4).write.format("delta").save(flights.table.uri(flights.root))
    name = str(flights.table)
    with pytest.raises(ConfigurationError, match=r"no such table: silver\.trains; there are silver\.flights"):
        maintain(flights, WEEK, table_target_mb={name: 1, "silver.trains": 1})
    small = maintain(flights, WEEK, table_target_mb={name: 1})[name]
    assert small["before"]["live"] == small["after"]["live"] == 4
    assert small["wanted"] > 4
    large = maintain(flights, WEEK)[name]
    assert (large["after"]["live"], large["wanted"]) == (1, 1)


@pytest.mark.parametrize(("hours", "removed"), [(24, 1), (2 * WEEK, 0), *thorough((48, 0))])
def test_files_stay_for_as_long_as_was_asked_for(
    flights: Chain, tmp_path: Path, hours: int, removed: int
) -> None:
    """They were replaced 30 hours ago; or eight days, which is longer than the week that is Delta's own."""
    # Spark keeps the log of a table that it has written in its memory, by the table's folder.
    written = tmp_path / "written"
    for _ in range(2):
        flights.spark.range(3).coalesce(1).write.format("delta").mode("overwrite").save(f"file://{written}")
    backdate(written / "_delta_log" / f"{1:020}.json", timedelta(hours=30 if hours < WEEK else 8 * 24))
    place = Path(flights.table.uri(flights.root).removeprefix("file://"))
    place.parent.mkdir(parents=True)
    written.rename(place)
    would = maintain(flights, hours, dry_run=True)[str(flights.table)]
    assert would["removed"] == removed
    assert maintain(flights, hours)[str(flights.table)]["removed"] == removed
    assert flights.rows().count() == 3


def backdate(entry: Path, age: timedelta) -> None:
    """Have the one file that the log's `entry` has replaced be replaced so long ago."""
    moment = (datetime.now(UTC) - age).timestamp()
    actions = [json.loads(line) for line in entry.read_text().splitlines()]
    (gone,) = (action["remove"] for action in actions if "remove" in action)
    gone["deletionTimestamp"] = int(moment * 1000)
    entry.write_text("".join(f"{json.dumps(action)}\n" for action in actions))
    os.utime(entry.parent.parent / gone["path"], (moment, moment))
    for checksum in entry.parent.glob("*.crc"):
        checksum.unlink()
    for checksum in entry.parent.glob(".*.crc"):
        checksum.unlink()


@pytest.mark.thorough
def test_a_folder_that_only_a_pinned_version_reads_keeps_what_that_needs(flights: Chain) -> None:
    for month in ("2013-01", "2013-01", "2013-02"):
        rows = flights.spark.range(3).coalesce(1).withColumn("month", F.lit(month))
        rows.write.format("delta").mode("overwrite").partitionBy("month").save(
            flights.table.uri(flights.root)
        )
    would = maintain(flights, 0, [0], dry_run=True)[str(flights.table)]
    found = maintain(flights, 0, [0])[str(flights.table)]
    assert (would["removed"], found["removed"], found["after"]["stored"]) == (1, 1, 2)
    assert len(content(flights, 0)) == len(content(flights, 2)) == 3


def test_a_broken_table_keeps_no_other_from_being_maintained(flights: Chain) -> None:
    for run in ("r1", "r2"):
        publish(flights.root, str(flights.table), run, read=3)
    log = Path(flights.root.removeprefix("file://")) / "silver" / "broken" / "_delta_log"
    log.mkdir(parents=True)
    (log / f"{0:020}.json").write_text("not a log")
    with pytest.raises(ClusterError, match=r"1 tables were maintained, these were not: silver\.broken: "):
        maintain(flights, 0)
    assert content(flights, 1)
    assert_gone(flights, 0)


def test_a_session_without_the_log_store_is_refused(flights: Chain, spark: SparkSession) -> None:
    flights.spark = spark.newSession()
    flights.spark.conf.set(LOG_STORE_CONF, "")
    with pytest.raises(LakeWriterError):
        maintain(flights, WEEK)


def test_the_ledger_table_holds_every_account_and_is_written_only_when_they_change(flights: Chain) -> None:
    flights.put("flights/flights_2013-01.csv.zip", month_zip(UA1545))
    version = flights.run("r0", ["2013-01"])["version"]
    publish(flights.root, "gold.features", "g1", read=5, inputs={"silver.flights": version}, deduplicated=2)
    made = flights.job("rebuild_ledger", "l1")
    assert (made["lines"], made["changed"]) == (2, True)
    again = flights.job("rebuild_ledger", "l2")
    assert (again["version"], again["changed"]) == (made["version"], False)

    flights.rows(LEDGER).createOrReplaceTempView("ledger")
    rows = flights.spark.sql("SELECT * FROM ledger ORDER BY table DESC").collect()
    assert [(row["table"], row["run"], row["partition"], row["version"]) for row in rows] == [
        ("silver.flights", "r0", "2013-01", version),
        ("gold.features", "g1", "all", 0),
    ]
    assert rows[0]["fetch_began"] < rows[0]["committed_at"]
    assert (rows[1]["fetch_began"], rows[1]["inputs"]) == (None, {"silver.flights": version})
    sums = "rows_written + rows_quarantined + rows_deduplicated + rows_dropped + rows_tombstones + rows_late"
    assert flights.spark.sql(f"SELECT * FROM ledger WHERE rows_read <> {sums}").isEmpty()

    publish(flights.root, "gold.features", "g2", read=6)
    assert flights.job("rebuild_ledger", "l3")["lines"] == 3
