"""Tables as Spark publishes and maintains them agree with their accounts, until a hand changes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from millstream.lake.storage import Storage
from millstream.lake.tables import TableRef
from millstream.landing.manifest import read_manifest, replace_manifest
from millstream.upkeep.reconcile import compare
from tests.support.chain import Chain, contract_of, month_zip, small_suite
from tests.support.flights_rows import AA1141, B6725, FEBRUARY, POSITIVE_DISTANCE, UA1545
from tests.support.replays import SEATED, increment

pytestmark = pytest.mark.spark
BROKEN = AA1141.replace(",1089,", ",-1089,")
MONTHS = ["2013-01", "2013-02"]


def differences(chain: Chain) -> list[str]:
    found = compare(chain.root, {chain.contract.dataset: timedelta(hours=1)}, {}, datetime.now(UTC))
    return [str(one) for one in found]


def maintain(chain: Chain) -> None:
    chain.job("maintain_tables", "m1", retention_hours=168, target_file_mb=128)


def by_hand(chain: Chain, statement: str, place: TableRef | None = None) -> int:
    """Run `statement`, in which `{}` is the table; returns the version that it made."""
    uri = (place or chain.table).uri(chain.root)
    chain.spark.sql(statement.format(f"delta.`{uri}`")).collect()
    newest = chain.spark.sql(f"DESCRIBE HISTORY delta.`{uri}` LIMIT 1").collect()[0]
    return int(newest["version"])


@pytest.mark.thorough
def test_months_and_their_quarantine(spark: SparkSession, tmp_path: Path) -> None:
    flights = Chain(spark, tmp_path, contract_of("flights"), small_suite(POSITIVE_DISTANCE))
    quarantine = flights.table.quarantine
    flights.put("flights/flights_2013-01.csv.zip", month_zip(UA1545, BROKEN, B6725))
    flights.put(
        "flights/flights_2013-02.csv.zip", month_zip(FEBRUARY, BROKEN.replace("2013,1,1", "2013,2,1"))
    )
    flights.run("r1", MONTHS)
    flights.put("flights/flights_2013-01.csv.zip", month_zip(UA1545, BROKEN))
    flights.run("r2", ["2013-01"])
    maintain(flights)
    assert differences(flights) == []

    version = by_hand(flights, "DELETE FROM {} WHERE month = '2013-02'")
    emptied = by_hand(flights, "DELETE FROM {} WHERE _partition = '2013-02'", quarantine)
    flights.put("flights/flights_2013-01.csv.zip", month_zip(UA1545, BROKEN, B6725))
    flights.run("r3", ["2013-01"])
    what = "was made by DELETE, not by a publish: publish 2013-02 again"
    assert differences(flights) == [
        f"{flights.table}: version {version} {what}",
        f"{quarantine}: version {emptied} {what}",
    ]
    flights.run("r4", ["2013-02"])
    assert differences(flights) == []


@pytest.mark.thorough
def test_increments_and_their_quarantine(spark: SparkSession, tmp_path: Path) -> None:
    planes = Chain(spark, tmp_path, contract_of("planes"), small_suite(SEATED))
    add(planes, "r1", None, N1=(2000, 10), N2=(1980, 20), N3=(1981, 0))
    add(planes, "r2", "2013-01-01", N1=(2001, 11), N4=(1970, 40))
    maintain(planes)
    assert differences(planes) == []

    version = by_hand(planes, "DELETE FROM {} WHERE tailnum = 'N2'")
    by_hand(planes, f"RESTORE TABLE {{}} TO VERSION AS OF {version - 1}")
    add(planes, "r3", "2013-02-01", N5=(1990, 50))
    assert differences(planes) == []

    version = by_hand(planes, "DELETE FROM {} WHERE tailnum = 'N2'")
    add(planes, "r4", "2013-03-01", N6=(1991, 60))
    (found,) = differences(planes)
    assert found.startswith(
        f"{planes.table}: version {version} was made by DELETE, not by a publish: restore"
    )

    add(planes, "r5", None, N2=(1980, 20), N3=(1981, 0))
    assert differences(planes) == []


def add(chain: Chain, run: str, since: str | None, **planes: tuple[int, int]) -> None:
    """An increment of what is new since `since`, or of all that the source has."""
    increment(chain, run, "2013-06-01", **planes)
    storage = Storage(chain.root)
    manifest = read_manifest(storage, chain.contract.dataset, run)
    replace_manifest(storage, manifest.model_copy(update={"watermark_low": since}))
