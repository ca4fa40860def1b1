"""docs/your-own-data.md: what its files make of its data."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from millstream.contracts.contract import Contract
from millstream.marts import load_mart
from millstream.quality.suites import suite_of
from millstream.transforms import table_of
from millstream_demo.reference import reference_file
from millstream_stack.commands.new.contracts import contract_text
from millstream_stack.commands.new.looks import at_file
from tests.support.chain import Chain
from tests.support.documents import files_shown
from tests.support.marts import Marts
from tests.support.packages import write_packages
from tests.support.thorough import thorough
from tests.support.your_own_data import PAGE, Reader

pytestmark = pytest.mark.spark


def chain_of(spark: SparkSession, folder: Path, contract: Contract) -> Chain:
    return Chain(spark, folder, contract, suite_of(contract, table_of(contract.dataset, contract)))


def test_the_pages_counts_and_its_mart(spark: SparkSession, tmp_path: Path) -> None:
    reader = Reader(tmp_path / "home")
    for path in files_shown(PAGE):
        reader.save(path)
    contract = Contract.load_file(reader.project / "dags" / "datasets" / "packages.yaml")
    chain = chain_of(spark, tmp_path, contract)
    chain.put("packages.jsonl", (reader.home / "data" / "packages.jsonl").read_bytes())
    result = chain.run("r1")
    counts = {name: result[name] for name in ("read", "written", "quarantined", "deduplicated")}
    assert counts == {"read": 7, "written": 5, "quarantined": 1, "deduplicated": 1}
    assert "7 = 5 written + 1 quarantined + 1 deduplicated" in PAGE.read_text()
    (broken,) = chain.rows(chain.table.quarantine).collect()
    assert (broken["package"], broken["_reasons"]) == (
        "perl-base",
        ["installed_size: not of type int: much"],
    )
    mart = load_mart(reader.project, "size_by_section")
    Marts(chain).run("m1", mart)
    assert Marts(chain).rows(mart) == {("admin", 3, 5.12), ("libs", 2, 0.17)}


@pytest.mark.parametrize("name", ["packages.jsonl", *thorough("planes.csv")])
def test_what_make_new_writes_runs_without_a_change(spark: SparkSession, tmp_path: Path, name: str) -> None:
    """Every record of files that others wrote, with their names and missing values, is in the table."""
    drop = tmp_path / "drop"
    drop.mkdir()
    if name == "packages.jsonl":
        records = write_packages(drop / name)
    else:
        (drop / name).write_bytes(reference_file(name).read_bytes())
        records = len(reference_file(name).read_text().splitlines()) - 1
    (tmp_path / "own.yaml").write_text(
        contract_text("own", at_file(drop / name, {"own_files": drop}, "other"))
    )
    contract = Contract.load_file(tmp_path / "own.yaml")
    assert contract.source.connection == "own_files"
    result = chain_of(spark, tmp_path, contract).run("r1")
    assert (result["read"], result["written"]) == (records, records)
    assert result["verdict"]["word"] == "passed"
