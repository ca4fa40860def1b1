"""Marts: through gate and publish like every table; what changes in the SQL changes in the table."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from millstream.errors import ContractError, QualityGateError
from millstream.lake import history
from millstream.lake.storage import Storage
from millstream.marts import Mart, load_mart
from millstream.settings import CHECKOUT
from tests.support.chain import Chain
from tests.support.marts import Marts

pytestmark = pytest.mark.spark

SELECT = """/*
description: Flights by airport.
key: [origin]
columns: {origin: FAA code, flights: Number of flights}
chart: {x: origin, y: flights}
*/
SELECT origin, count(*) AS flights FROM silver.flights GROUP BY origin
"""
OUTLIER = {"type": "expect_column_values_to_be_between", "kwargs": {"column": "flights", "min_value": 2}}


@pytest.fixture
def marts(published: Chain) -> Marts:
    return Marts(published)


def written(folder: Path, sql: str) -> Mart:
    (folder / "marts").mkdir(exist_ok=True)
    (folder / "marts" / "by_airport.sql").write_text(sql)
    return load_mart(folder, "by_airport")


def test_a_select_is_a_table_with_comments_account_and_page(marts: Marts, tmp_path: Path) -> None:
    mart = written(tmp_path, SELECT)
    result = marts.run("r1", mart, data_docs=True)
    assert marts.rows(mart) == {("EWR", 2), ("JFK", 2)}
    assert (result["read"], result["written"], result["changed"]) == (2, 2, True)
    fields = marts.chain.rows(mart.table).schema.fields
    assert [(one.name, one.metadata["comment"]) for one in fields] == [
        ("origin", "FAA code"),
        ("flights", "Number of flights"),
    ]
    account = history.read(mart.table, marts.chain.root).accounts[0]
    assert account.inputs == {"silver.flights": marts.chain.version()}
    assert account.code_version == mart.version
    storage = Storage(marts.chain.root)
    (page,) = [file.path for file in storage.files("data_docs/gold.by_airport") if file.path.endswith("html")]
    text = storage.read(page).decode()
    assert "<svg" in text
    assert ">EWR<" in text
    assert "<script" not in text
    # The same SELECT over the same rows: nothing to write.
    assert not marts.run("r2", mart)["changed"]


def test_a_changed_select_changes_the_columns(marts: Marts, tmp_path: Path) -> None:
    marts.run("r1", written(tmp_path, SELECT))
    other_name = SELECT.replace("flights:", "departures:").replace("y: flights", "y: departures")
    renamed = written(tmp_path, other_name.replace("AS flights", "AS departures"))
    assert marts.run("r2", renamed)["changed"]
    assert marts.chain.rows(renamed.table).columns == ["origin", "departures"]
    retyped = written(tmp_path, SELECT.replace("count(*)", "count(*) / 2"))
    assert marts.run("r3", retyped)["changed"]
    assert marts.rows(retyped) == {("EWR", 1.0), ("JFK", 1.0)}
    commented = written(tmp_path, retyped.sql.replace("FAA code", "Airport"))
    assert marts.run("r4", commented)["changed"]
    assert marts.chain.rows(commented.table).schema["origin"].metadata == {"comment": "Airport"}


def test_broken_rows_go_to_quarantine_and_a_broken_table_stays_away(marts: Marts, tmp_path: Path) -> None:
    mart = written(tmp_path, SELECT.replace("count(*)", "count_if(origin <> 'JFK') + 1"))
    rule = {**OUTLIER, "kwargs": {**OUTLIER["kwargs"], "mostly": 0.4}}
    result = marts.run("r1", mart, rule)
    assert (result["read"], result["written"], result["quarantined"]) == (2, 1, 1)
    (broken,) = marts.chain.rows(mart.table.quarantine).collect()
    assert (broken["origin"], broken["flights"]) == ("JFK", 1)
    with pytest.raises(QualityGateError, match="row count"):
        marts.run("r2", written(tmp_path, SELECT.replace("GROUP", "WHERE false GROUP")))
    assert marts.rows(mart) == {("EWR", 3)}


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("count(*) AS flights", "count(*)", r"'count\(1\)' cannot name a column: give it another name by AS"),
        ("count(*) AS flights", "1 AS Origin, 2 AS flights", "two columns are named 'Origin'"),
        ("key: [origin]", "key: [airport]", "its head names airport, and the SELECT has origin, flights"),
        ("count(*)", "count(nothing)", "UNRESOLVED_COLUMN"),
    ],
)
def test_what_spark_or_the_head_refuses_names_the_file(
    marts: Marts, tmp_path: Path, old: str, new: str, why: str
) -> None:
    with pytest.raises(ContractError, match=rf"^marts/by_airport.sql: .*{why}"):
        marts.run("r1", written(tmp_path, SELECT.replace(old, new)))


def test_the_shipped_ones_count_what_is_there(marts: Marts, tmp_path: Path) -> None:
    hours = load_mart(CHECKOUT, "delays_by_airport_and_hour")
    marts.run("hours", hours)
    rows = {(row["origin"], row["hour"]): row for row in marts.chain.rows(hours.table).collect()}
    assert sum(row["flights"] for row in rows.values()) == marts.chain.rows().count()
    # UA1545 left at 5:15, two minutes late; it arrived 11 minutes late.
    assert rows["EWR", 5].asDict() == {
        **{"origin": "EWR", "hour": 5, "flights": 1, "cancelled": 0},
        **{"dep_delay_min": 2.0, "arr_delay_min": 11.0, "late_share": 0.0},
    }


def test_the_area_under_the_curve_is_that_of_scikit_learn(spark: SparkSession) -> None:
    """Also with equal probabilities and a month of one class."""
    from sklearn.metrics import roc_auc_score

    rows = [
        ("2013-01", number, (number * 7 % 11) / 10, number % 3 == 0 or number % 7 == 0)
        for number in range(60)
    ]
    rows += [("2013-02", number, 0.5, True) for number in range(3)]
    frame = spark.createDataFrame(rows, "month string, flight int, probability double, late boolean")
    keys = {"flight_date": F.lit("2013-01-01"), "carrier": F.lit("AA"), "origin": F.lit("EWR")}
    frame = frame.withColumns({**keys, "model_version": F.lit(1), "predicted": F.col("probability") >= 0.5})
    frame.createOrReplaceTempView("predictions")
    frame.withColumn("arrived_late", F.col("late").cast("int")).createOrReplaceTempView("features")
    views = {"gold.arrival_delay_predictions": "predictions", "gold.arrival_delay_features": "features"}
    made = spark.sql(load_mart(CHECKOUT, "model_quality_by_month").query(views))
    by_month = {row["month"]: row for row in made.collect()}
    first = [row for row in rows if row[0] == "2013-01"]
    expected = roc_auc_score([row[3] for row in first], [row[2] for row in first])
    assert by_month["2013-01"]["auc"] == pytest.approx(expected, abs=1e-4)
    assert by_month["2013-02"]["auc"] is None
    assert by_month["2013-02"]["recall"] == 1.0
