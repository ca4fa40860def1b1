"""From landed files to the published table: what comes out, and that nothing is lost or doubled."""

from __future__ import annotations

import shutil
from datetime import date, datetime
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from millstream.errors import (
    ConservationError,
    LakeWriterError,
    QualityGateError,
    SourceDataError,
)
from millstream.lake import history
from millstream.lake.accounts import Account
from millstream.lake.delta import TableDefinition, create_table
from millstream.lake.log_store import LOG_STORE_CONF
from millstream.lake.tables import TableRef
from millstream.publishing.counts import row_hash
from millstream.transforms import flights as flights_module
from millstream.transforms import table_of
from tests.support.chain import Chain, contract_of, month_zip, small_suite, suite_of
from tests.support.flights_rows import AA1141, B6725, EV4308, FEBRUARY, UA1545


def test_flights_typed_with_utc_beside_local_times(published: Chain) -> None:
    row = published.rows().where("flight = 1545").collect()[0]
    assert row.asDict() == {
        "month": "2013-01",
        "flight_date": date(2013, 1, 1),
        "carrier": "UA",
        "flight": 1545,
        "tailnum": "N14228",
        "origin": "EWR",
        "dest": "IAH",
        "sched_dep_local": datetime(2013, 1, 1, 5, 15),
        "sched_dep_utc": datetime(2013, 1, 1, 10, 15),
        "sched_arr_time": 819,
        "dep_utc": datetime(2013, 1, 1, 10, 17),
        "dep_delay_min": 2.0,
        "arr_time": 830,
        "arr_delay_min": 11.0,
        "air_time_min": 227.0,
        "distance_mi": 1400.0,
        "cancelled": False,
        "_source_row_id": row["_source_row_id"],
    }
    assert row["_source_row_id"].startswith("landing/flights/partition=2013-01/")
    assert row["_source_row_id"].endswith("flights_2013-01.csv.zip#1")
    cancelled = published.rows().where("flight = 4308").collect()[0]
    assert (cancelled["cancelled"], cancelled["dep_utc"], cancelled["arr_delay_min"]) == (True, None, None)


def test_a_landed_file_that_was_damaged_is_told_in_one_line_and_the_healed_one_is_read(
    flights: Chain,
) -> None:
    """The worker meets the damage behind the rows: the job's error is its own, without Java's stack."""
    tailnum = "N" * 140_000
    month = month_zip("", UA1545, " ", AA1141.replace("N619AA", tailnum), "")
    flights.put("flights/flights_2013-01.csv.zip", month)
    flights.land("r1", ["2013-01"])
    (landed,) = Path(flights.root.removeprefix("file://")).glob("landing/flights/partition=2013-01/*.zip")
    landed.write_bytes(month.replace(b"UA,1545", b"UB,1545"))
    with pytest.raises(SourceDataError) as refused:
        flights.load_bronze("r1")
    message = str(refused.value)
    assert "is not a readable zip file: Bad CRC-32 for file 'flights.csv'. Nothing was loaded" in message
    assert message.isprintable()
    assert refused.value.__suppress_context__

    landed.write_bytes(month)
    assert flights.load_bronze("r1")["rows"] == 2
    rows = flights.rows(TableRef(zone="bronze", name="flights")).orderBy("_source_row")
    found = [(row["_source_row"], row["flight"], row["tailnum"]) for row in rows.collect()]
    assert found == [(2, "1545", "N14228"), (4, "1141", tailnum)]


def test_a_table_that_was_only_created_counts_as_not_published(flights: Chain, spark: SparkSession) -> None:
    planes = TableRef.parse("silver.planes")
    create_table(spark, planes.uri(flights.root), TableDefinition(table_of("planes").schema, "Planes"))
    assert history.version(planes, flights.root) == 0
    assert history.read(planes, flights.root).published_version is None
    flights.land("r1", ["2013-01"])
    staged = flights.stage("r1")
    assert "silver.planes" not in staged["inputs"]
    found = spark.read.format("delta").load(staged["staged_uri"])
    assert found.where("_ref_tailnum IS NULL").count() == staged["rows"] > 0

    # The shipped rules about other tables: every row breaks some, and that says nothing of the rows.
    rules = [one for one in suite_of("flights")["expectations"] if "_ref_" in str(one["kwargs"])]
    flights.suite = {"name": "flights", "expectations": rules}
    told = flights.judge("r1", staged)
    assert told["passed"]
    found = [rule for rule in told["rules"] if rule["index"] is not None]
    assert {(rule["action"], rule["broken"]) for rule in found} == {("warn", 0)}
    for name in ("airlines", "airports", "planes"):
        assert f"silver.{name} has not been published yet: run ingest_{name} first" in told["reason"]
    assert "100.00%" not in told["reason"]


def test_broken_rows_are_kept_with_reasons_and_every_row_is_accounted_for(flights: Chain) -> None:
    negative = AA1141.replace(",1089,", ",-1089,")
    retyped = B6725.replace(",1576,", ",far,")
    short = "2013,1,1,555"
    impossible = AA1141.replace("2013,1,1,", "2013,1,32,")
    assert impossible != AA1141
    flights.put(
        "flights/flights_2013-01.csv.zip",
        month_zip(UA1545, negative, retyped, short, EV4308, UA1545, FEBRUARY, impossible),
    )
    result = flights.run("r1", ["2013-01"])
    assert (result["read"], result["written"], result["quarantined"], result["deduplicated"]) == (8, 2, 5, 1)
    assert {row["flight"] for row in flights.rows().collect()} == {1545, 4308}

    broken = flights.rows(flights.table.quarantine).collect()
    reasons = {row["_source_row_id"].partition("#")[2]: row["_reasons"] for row in broken}
    assert sorted(reasons) == ["2", "3", "4", "7", "8"]
    assert "distance_mi" in reasons["2"][0]
    assert reasons["3"] == ["distance: not of type double: far"]
    assert reasons["4"] == ["record: 4 fields where the header has 19"]
    assert reasons["7"] == ["month: 2013-02 in the delivery for 2013-01"]
    assert "flight_date: no valid value can be made of the row" in reasons["8"]
    records = {row["_source_row_id"].partition("#")[2]: row["_source_record"] for row in broken}
    assert records["4"] == short
    assert '"distance":"far"' in records["3"]


def test_a_healed_source_empties_the_quarantine(flights: Chain) -> None:
    flights.put("flights/flights_2013-01.csv.zip", month_zip(UA1545, AA1141.replace(",1089,", ",-1,")))
    assert flights.run("r1", ["2013-01"])["quarantined"] == 1
    flights.put("flights/flights_2013-01.csv.zip", month_zip(UA1545, AA1141))
    assert flights.run("r2", ["2013-01"])["written"] == 2
    assert flights.rows(flights.table.quarantine).count() == 0


def test_etl_and_elt_end_in_the_same_table_and_etl_needs_no_bronze(published: Chain) -> None:
    elt = published.account().partitions
    rows = sorted(map(str, published.rows().collect()))
    shutil.rmtree(published.root.removeprefix("file://") + "/bronze")
    shutil.rmtree(published.root.removeprefix("file://") + "/silver")
    published.run("r2", ["2013-01"], mode="etl")
    assert published.account().partitions == elt
    assert sorted(map(str, published.rows().collect())) == rows
    assert not Path(published.root.removeprefix("file://") + "/bronze").exists()


def test_a_rerun_doubles_nothing_and_makes_no_version(published: Chain) -> None:
    first = published.version()
    again = published.run("r2", ["2013-01"])
    assert not again["changed"]
    assert again["version"] == first == published.version()
    assert published.rows().count() == 4


def test_a_run_touches_only_its_partitions(published: Chain) -> None:
    before = {row["_source_row_id"] for row in published.rows().collect()}
    published.put("flights/flights_2013-02.csv.zip", month_zip(FEBRUARY))
    published.run("r2", ["2013-02"])
    rows = published.rows().collect()
    assert {row["_source_row_id"] for row in rows if row["month"] == "2013-01"} == before
    assert [row["flight"] for row in rows if row["month"] == "2013-02"] == [1117]


def test_a_failed_gate_leaves_the_table_as_it_was(published: Chain) -> None:
    version, rows = published.version(), sorted(map(str, published.rows().collect()))
    bad = [row.replace(",1400,", ",-1400,").replace(",1089,", ",-1089,") for row in (UA1545, AA1141)]
    published.put("flights/flights_2013-01.csv.zip", month_zip(*bad, B6725))
    published.land("r2", ["2013-01"])
    staged = published.stage("r2")
    with pytest.raises(QualityGateError, match=r"silver\.flights is left as it was"):
        published.judge("r2", staged)
    with pytest.raises(QualityGateError, match="did not pass"):
        published.publish("r2", staged, ["2013-01"])
    assert published.version() == version
    assert sorted(map(str, published.rows().collect())) == rows

    published.put("flights/flights_2013-01.csv.zip", month_zip(UA1545, AA1141, B6725))
    assert published.run("r3", ["2013-01"])["written"] == 3


def test_duplicates_do_not_count_where_values_must_be_unique(spark: SparkSession, tmp_path: Path) -> None:
    one_flight_a_plane = {
        "type": "expect_column_values_to_be_unique",
        "kwargs": {"column": "tailnum", "mostly": 0.1},
        "severity": "critical",
    }
    chain = Chain(spark, tmp_path, contract_of("flights"), small_suite(one_flight_a_plane))
    same_plane = B6725.replace("N804JB", "N619AA")
    chain.put("flights/flights_2013-01.csv.zip", month_zip(UA1545, UA1545, AA1141, same_plane))
    result = chain.run("r1", ["2013-01"])
    assert (result["written"], result["quarantined"], result["deduplicated"]) == (1, 2, 1)
    assert [row["flight"] for row in chain.rows().collect()] == [1545]


def test_the_content_hash_tells_values_columns_and_nulls_apart(spark: SparkSession) -> None:
    rows = [
        ("x", None, None),
        (None, "x", None),
        ("", None, None),
        (None, None, None),
        (None, None, []),
        (None, None, ["x", None]),
        (None, None, [None, "x"]),
    ]
    found = spark.createDataFrame(rows, "a string, b string, c array<string>")
    hashes = [row[0] for row in found.select(row_hash(found.schema)).collect()]
    assert len(set(hashes)) == len(rows)


def times(rows: DataFrame, each: str) -> DataFrame:
    """Every row as often as the SQL expression `each` says."""
    return rows.withColumn("_time", F.explode(F.expr(f"array_repeat(1, {each})"))).drop("_time")


@pytest.mark.parametrize(
    ("each", "made"),
    [
        ("if(cancelled, 0, 1)", 3),
        ("if(cancelled, 2, 1)", 5),
        ("case flight when 725 then 2 when 1141 then 0 else 1 end", 4),
    ],
    ids=["filters", "repeats", "filters one and repeats another"],
)
def test_a_transform_that_does_not_hand_on_each_row_once_stops_the_run(
    flights: Chain, monkeypatch: pytest.MonkeyPatch, each: str, made: int
) -> None:
    whole = flights_module.transform
    monkeypatch.setattr(flights_module, "transform", lambda rows: times(whole(rows), each))
    flights.land("r1", ["2013-01"])
    with pytest.raises(ConservationError, match=rf"4 rows came in and {made} went out"):
        flights.stage("r1")


def test_references_tell_found_missing_and_not_yet_known(flights: Chain, spark: SparkSession) -> None:
    flights.land("r1", ["2013-01"])
    unknown = spark.read.format("delta").load(flights.stage("r1")["staged_uri"])
    assert unknown.where("_ref_tailnum IS NOT NULL").count() == 0

    account = Account(
        table="silver.planes", run="p1", partitions={}, verdict={}, suite_version="1", code_version="test"
    )
    known = spark.createDataFrame([("N14228",), ("N18120",)], "tailnum string").write.format("delta")
    known.option("userMetadata", account.model_dump_json()).save(f"{flights.root}/silver/planes")
    staged = flights.stage("r1")
    found = spark.read.format("delta").load(staged["staged_uri"]).collect()
    assert {row["flight"]: row["_ref_tailnum"] for row in found} == {
        1545: True,
        1141: False,
        725: False,
        4308: True,
    }
    assert staged["inputs"]["silver.planes"] == 0


def test_a_session_without_the_log_store_is_refused(flights: Chain, spark: SparkSession) -> None:
    flights.land("r1", ["2013-01"])
    log_store = spark.conf.get(LOG_STORE_CONF)
    assert log_store
    spark.conf.unset(LOG_STORE_CONF)
    try:
        with pytest.raises(LakeWriterError, match=r"no log store .*: start it with spark\.delta"):
            flights.stage("r1")
    finally:
        spark.conf.set(LOG_STORE_CONF, log_store)


def test_columns_have_comments_and_keys_cannot_be_null(published: Chain, spark: SparkSession) -> None:
    fields = {field.name: field for field in published.rows().schema.fields}
    assert fields["distance_mi"].metadata["comment"] == "Distance between the airports, miles"
    detail = spark.sql(f"DESCRIBE DETAIL delta.`{published.table.uri(published.root)}`").collect()[0]
    assert detail["partitionColumns"] == ["month"]
    assert "delta.constraints.month_is_the_flight_dates" in detail["properties"]
    assert detail["description"] == contract_of("flights").description
