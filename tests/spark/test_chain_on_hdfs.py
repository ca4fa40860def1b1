"""The ingest chain on a lake in HDFS: real servers, the same jobs, and the same rows as in a local folder."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from millstream.lake import history
from millstream.lake.storage import Storage
from millstream.lake.tables import TableRef
from tests.support.chain import Chain, contract_of, month_zip, small_suite
from tests.support.flights_rows import AA1141, UA1545
from tests.support.hadoop import Hdfs

pytestmark = pytest.mark.spark

SHORT = UA1545.replace("1545", "1546").rsplit(",", 3)[0]
TOO_FAR = AA1141.replace(",1089,", ",-1089,").replace("1141", "1142")
DISTANCE = {
    "type": "expect_column_values_to_be_between",
    "severity": "critical",
    "kwargs": {"column": "distance_mi", "min_value": 1, "mostly": 0.5},
}


@pytest.fixture
def on_hdfs(spark: SparkSession, tmp_path: Path, hdfs: Hdfs) -> Chain:
    root = f"{hdfs.uri}/lakes/{uuid.uuid4().hex}"
    (tmp_path / "hdfs").mkdir()
    return Chain(spark, tmp_path / "hdfs", contract_of("flights"), _suite(), root)


def _suite() -> dict[str, object]:
    suite = small_suite(DISTANCE)
    suite["meta"]["malformed_mostly"] = 0.5
    return suite


def test_an_ingest_ends_as_on_a_local_lake(on_hdfs: Chain, spark: SparkSession, tmp_path: Path) -> None:
    local = Chain(spark, tmp_path, contract_of("flights"), _suite())
    month = month_zip(UA1545, AA1141, SHORT, TOO_FAR, UA1545)
    for chain in (on_hdfs, local):
        chain.put("flights/flights_2013-01.csv.zip", month)
        chain.run("r1", ["2013-01"])
    (counts,) = on_hdfs.account().partitions.values()
    assert (counts.read, counts.written, counts.quarantined, counts.deduplicated) == (5, 2, 2, 1)
    assert on_hdfs.account().partitions == local.account().partitions
    for table in (on_hdfs.table, on_hdfs.table.quarantine):
        there, here = (sorted(map(str, chain.rows(table).collect())) for chain in (on_hdfs, local))
        assert there == here
    files = {path for (path,) in on_hdfs.rows().selectExpr("input_file_name()").collect()}
    assert files
    assert all(path.startswith("hdfs://127.0.0.1:") for path in files)
    assert Storage(on_hdfs.root).list("silver/flights/_delta_log")


@pytest.mark.thorough
def test_a_second_run_changes_nothing_and_a_corrected_month_replaces(on_hdfs: Chain) -> None:
    on_hdfs.put("flights/flights_2013-01.csv.zip", month_zip(UA1545, AA1141))
    on_hdfs.run("r1", ["2013-01"])
    version = on_hdfs.version()
    assert not on_hdfs.run("r2", ["2013-01"])["changed"]
    assert on_hdfs.version() == version
    on_hdfs.put("flights/flights_2013-01.csv.zip", month_zip(UA1545))
    assert on_hdfs.run("r3", ["2013-01"])["written"] == 1
    assert on_hdfs.rows().count() == 1


@pytest.mark.thorough
def test_a_row_in_quarantine_is_accepted_and_replayed(on_hdfs: Chain) -> None:
    on_hdfs.put("flights/flights_2013-01.csv.zip", month_zip(UA1545, AA1141, TOO_FAR))
    on_hdfs.run("r1", ["2013-01"])
    on_hdfs.decide("d1", "accept", reason="distance_mi")
    (result,) = on_hdfs.replay("p1")
    assert (result["written"], result["accepted"], result["quarantined"]) == (3, 1, 0)
    assert history.read(TableRef.parse("ops.decisions"), on_hdfs.root).version is not None
