"""A table that is made anew: other columns, types, key and partition, in one commit."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from millstream.contracts.contract import Contract
from millstream.errors import ContractError
from millstream.lake import history
from millstream.lake.tables import TableRef
from millstream.publishing import write
from millstream.publishing.work import Work
from millstream.quality.suites import suite_of
from millstream.transforms import table_of
from tests.support.chain import Chain
from tests.support.updates import chain_of

# Each run of the chain takes half a minute on busy cores.
pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]

SOURCE = {"kind": "files", "connection": "drop", "format": "csv", "quiet_seconds": 0}
FIRST: dict[str, Any] = {
    "dataset": "sales",
    "source": {**SOURCE, "path": "*/*.csv"},
    "columns": [{"name": "id", "type": "int"}, {"name": "total"}, {"name": "note"}],
    "primary_key": ["id"],
}
SECOND: dict[str, Any] = {
    "dataset": "sales",
    "version": 2,
    "source": {**SOURCE, "path": "{partition}/*.csv"},
    "load": "partition",
    "partition": {"start": "2024-01"},
    "columns": [{"name": "id", "type": "int"}, {"name": "total", "type": "decimal(9,2)"}, {"name": "shop"}],
    "drift": {"removed": "evolve"},
    "primary_key": ["month", "id"],
}
MONTHS = ["2024-01", "2024-02"]


def changed(chain: Chain, contract: dict[str, Any]) -> None:
    chain.contract = Contract.from_dict(contract, origin="sales.yaml")
    chain.suite = suite_of(chain.contract, table_of("sales", chain.contract))


def staged(chain: Chain, run: str, months: list[str]) -> dict[str, Any]:
    """As the ingest's tasks do with the param `rebuild`, up to the verdict."""
    chain.land(run, months)
    chain.job("load_bronze", run, contract=chain.contract.model_dump(mode="json"), rebuild=True)
    rows = chain.transform(run)
    chain.judge(run, rows, months)
    return rows


@pytest.fixture
def sales(spark: SparkSession, tmp_path: Path) -> Chain:
    """Two months of sales as published by the first contract, with a row in quarantine."""
    chain = chain_of(spark, tmp_path, FIRST)
    chain.put("2024-01/a.csv", "id,total,note\n1,1.50,x\n2,2.50,y\nthree,3.50,z\n")
    chain.put("2024-02/a.csv", "id,total,note\n1,4.50,x\n4,0.25,\n")
    chain.put("2024-02/b.csv", "id,total,note\n5,5.00,x\n")
    chain.run("r1")
    return chain


def test_a_table_gets_another_key_types_columns_and_partition(
    sales: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sales.version()
    old = sorted(map(tuple, sales.rows().select("id", "total").collect()))
    changed(sales, SECOND)
    anew = staged(sales, "r2", MONTHS)

    # An attempt that ends between its two commits leaves the table as it was.
    def ended(work: Work) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(write, "_write_rows", ended)
        with pytest.raises(KeyboardInterrupt):
            sales.publish("r2", anew, [], load="full", rebuild=True)
    assert sales.version() == before
    assert sorted(map(tuple, sales.rows().select("id", "total").collect())) == old

    result = sales.publish("r2", anew, [], load="full", rebuild=True)
    assert (result["read"], result["written"], result["quarantined"]) == (6, 5, 1)
    rows = {(row["month"], row["id"], row["total"], row["shop"]) for row in sales.rows().collect()}
    assert rows == {
        ("2024-01", 1, Decimal("1.50"), None),
        ("2024-01", 2, Decimal("2.50"), None),
        ("2024-02", 1, Decimal("4.50"), None),
        ("2024-02", 4, Decimal("0.25"), None),
        ("2024-02", 5, Decimal("5.00"), None),
    }
    present = history.read(sales.table, sales.root)
    assert present.now is not None
    assert "note" not in present.now.column_names
    assert list(present.now.partition_columns) == ["month"]
    assert sales.account().partitions.keys() == set(MONTHS)
    bronze = history.snapshot(TableRef(zone="bronze", name="sales").uri(sales.root))
    assert bronze is not None
    assert bronze.partition_columns == ["_partition"]
    (broken,) = sales.rows(sales.table.quarantine).collect()
    assert broken["_partition"] == "2024-01"

    # A retry of the same run makes no other version.
    again = sales.publish("r2", anew, [], load="full", rebuild=True)
    assert (again["changed"], again["version"]) == (False, result["version"])
    # What was there can be read as it was.
    then = sales.spark.read.format("delta").option("versionAsOf", before).load(sales.table.uri(sales.root))
    assert sorted(map(tuple, then.select("id", "total").collect())) == old


@pytest.mark.thorough
def test_without_being_made_anew_it_is_refused_and_afterwards_a_month_is_replaced_alone(
    sales: Chain,
) -> None:
    changed(sales, SECOND)
    sales.land("r2", MONTHS)
    rows = sales.stage("r2")
    sales.judge("r2", rows, MONTHS)
    with pytest.raises(ContractError, match="start the ingest with rebuild"):
        sales.publish("r2", rows, MONTHS)
    sales.publish("r3", staged(sales, "r3", MONTHS), [], load="full", rebuild=True)

    sales.put("2024-02/b.csv", "id,total,note\n5,5.50,x\n")
    sales.run("r4", ["2024-02"])
    totals = {(row["month"], row["id"]): row["total"] for row in sales.rows().collect()}
    assert totals["2024-02", 5] == Decimal("5.50")
    assert len(totals) == 5
