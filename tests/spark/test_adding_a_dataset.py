"""docs/adding-a-dataset.md, followed literally: its files are taken from the page and run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from pyspark.sql import SparkSession

from millstream.bronze.rows import delivered
from millstream.contracts import drift
from millstream.contracts.contract import Contract
from millstream.lake.tables import TableRef
from millstream.marts import load_mart
from millstream.quality.suite import Suite
from millstream.quality.suites import suite_in
from millstream.settings import CHECKOUT
from millstream.transforms import table_of
from tests.support.chain import Chain
from tests.support.documents import files_shown
from tests.support.marts import Marts

PAGE = CHECKOUT / "docs" / "adding-a-dataset.md"
DROP = ".millstream/demo/drop/"
SOURCE = f"{DROP}runways/runways.csv"
CONTRACT = "dags/datasets/runways.yaml"
SUITE = "expectations/runways.json"
DAG = "dags/ingest_runways.py"
MARTS_PAGE = CHECKOUT / "docs" / "marts.md"
MART = "marts/runways_by_airport.sql"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the page's files, in which contracts and suites are looked for."""
    for path, content in (files_shown(PAGE) | files_shown(MARTS_PAGE)).items():
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8")
    monkeypatch.setenv("MILLSTREAM_ROOT", str(tmp_path))
    return tmp_path


@pytest.fixture
def runways(spark: SparkSession, checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Chain:
    suite = suite_in(checkout, "runways")
    contract = Contract.load_file(checkout / CONTRACT)
    chain = Chain(spark, tmp_path_factory.mktemp("runways"), contract, suite)
    chain.put(SOURCE.removeprefix(DROP), (checkout / SOURCE).read_bytes())
    airports = TableRef(zone="silver", name="airports").uri(chain.root)
    spark.createDataFrame([("EWR",), ("JFK",), ("LGA",)], "faa string").write.format("delta").save(airports)
    return chain


def test_the_page_shows_every_file() -> None:
    assert set(files_shown(PAGE)) == {SOURCE, CONTRACT, SUITE, DAG}
    assert set(files_shown(MARTS_PAGE)) == {MART, "dags/mart_runways_by_airport.py"}


def test_airflow_loads_the_dag(checkout: Path) -> None:
    bag = DagBag(str(checkout / "dags"))
    assert bag.import_errors == {}
    dag = bag.dags["ingest_runways"]
    assert bag.dags["mart_runways_by_airport"].description.startswith("How many runways an airport has")
    chain = ["plan", "extract", "land", "load_bronze", "transform", "quality_gate", "publish"]
    assert {task.task_id for task in dag.tasks} == set(chain)
    assert dag.description == "Runways of New York's three airports."


def test_source_contract_and_suite_fit(checkout: Path) -> None:
    contract = Contract.load_file(checkout / CONTRACT)
    with (checkout / SOURCE).open("rb") as stream:
        assert drift.of_columns(contract, delivered(contract, stream, SOURCE).names) == []
    table = table_of("runways")
    staged = {*table.schema.fieldNames(), *table.references}
    suite = Suite.from_dict(suite_in(checkout, "runways"))
    assert suite.name == "runways"
    assert {column for rule in suite.rules for column in rule.columns} <= staged


@pytest.mark.spark
def test_the_chain_ends_as_the_page_says(runways: Chain) -> None:
    first = runways.run("first")
    assert _counts(first) == (10, 8, 1, 1)
    # This lake has no airports to look them up in.
    assert [(rule["label"], rule["word"]) for rule in first["verdict"]["warnings"]] == [
        ("airport is in silver.airports", "not checked")
    ]
    published = runways.rows().select("airport", "runway", "length_ft", "width_ft", "surface").collect()
    assert {tuple(row) for row in published} == {
        ("EWR", "04L/22R", 11000, 150, "asphalt"),
        ("EWR", "04R/22L", 10000, 150, "asphalt"),
        ("EWR", "11/29", 6726, 150, "asphalt"),
        ("JFK", "04L/22R", 12079, 200, "concrete"),
        ("JFK", "04R/22L", 8400, 200, "asphalt"),
        ("JFK", "13L/31R", 10000, 200, "concrete"),
        ("JFK", "13R/31L", 14511, 200, "concrete"),
        ("LGA", "04/22", 7002, 150, "asphalt"),
    }
    (broken,) = runways.rows(runways.table.quarantine).collect()
    assert (broken["airport"], broken["runway"], broken["length_ft"]) == ("LGA", "13/31", 70030)
    assert "length_ft" in broken["_reasons"][0]

    runways.put("runways/runways.csv", files_shown(PAGE)[SOURCE].replace("70030", "7003"))
    corrected = runways.run("second")
    assert _counts(corrected) == (10, 9, 0, 1)
    assert runways.rows(runways.table.quarantine).count() == 0

    again = runways.run("third")
    assert not again["changed"]
    assert again["version"] == corrected["version"]


@pytest.mark.spark
def test_the_mart_of_its_page_reads_the_table(runways: Chain, checkout: Path) -> None:
    runways.run("first")
    mart = load_mart(checkout, "runways_by_airport")
    marts = Marts(runways)
    assert marts.run("mart", mart)["written"] == 3
    assert marts.rows(mart) == {("EWR", 3, 11000), ("JFK", 4, 14511), ("LGA", 1, 7002)}


def test_the_page_tells_the_counts_that_were_found() -> None:
    text = PAGE.read_text()
    assert "10 = 8 written + 1 quarantined + 1 deduplicated" in text
    assert "10 = 9 written + 0 quarantined + 1 deduplicated" in text


def _counts(result: dict[str, Any]) -> tuple[int, int, int, int]:
    return result["read"], result["written"], result["quarantined"], result["deduplicated"]
