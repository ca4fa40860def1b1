"""What of a mart by month is made anew, by real logs of its table and of the table that it reads."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, write_deltalake

from millstream.lake import history
from millstream.lake.accounts import Account, PartitionCounts
from millstream.lake.tables import TableRef
from millstream.marts import Mart, load_mart
from millstream.publishing.mart_changes import Rebuild, rebuild_of

JAN, FEB, MAR = "2013-01", "2013-02", "2013-03"
READ, MADE = TableRef.parse("gold.read"), TableRef.parse("gold.made")
SQL = "/*\npartition: month\n*/\nSELECT month, x FROM gold.read\n"
Rows = dict[str, int]


class Lake:
    """A table that is read, and a mart of it; each row's value is its hash too."""

    def __init__(self, folder: Path) -> None:
        self.root = f"file://{folder}/lake"
        (folder / "marts").mkdir()
        (folder / "marts" / "made.sql").write_text(SQL)
        self.mart: Mart = load_mart(folder, "made")

    def uri(self, table: TableRef) -> str:
        return table.uri(self.root).removeprefix("file://")

    def publish(self, rows: Rows, months: tuple[str, ...] = (), names: tuple[str, str] = ("x", "y")) -> None:
        """The whole of what is read, or these months of it."""
        values = (pa.array(one, pa.int64()) for one in (list(rows.values()), [7] * len(rows)))
        content = pa.table([pa.array(list(rows), pa.string()), *values], names=["month", *names])
        self._commit(READ, content, account(READ, {**dict.fromkeys(months, 0), **rows}), months)

    def make(self, months: tuple[str, ...] = (), suite: str = "s") -> None:
        """The mart of what is read now."""
        read = DeltaTable(self.uri(READ)).to_pyarrow_table().select(["month", "x"])
        rows = dict(zip(*(column.to_pylist() for column in read.columns), strict=True))
        inputs = {str(READ): history.version(READ, self.root) or 0}
        made = account(MADE, rows, inputs=inputs, code_version=self.mart.version, suite_version=suite)
        self._commit(MADE, read, made, months)

    def due(self) -> Rebuild:
        inputs = {str(READ): history.version(READ, self.root) or 0}
        return rebuild_of(self.mart, inputs, {str(READ): "month"}, "s", self.root)

    def _commit(self, table: TableRef, rows: pa.Table, of: Account, months: tuple[str, ...]) -> None:
        listed = ", ".join(f"'{month}'" for month in months)
        more: dict[str, Any] = (
            {"predicate": f"month IN ({listed})"} if months else {"schema_mode": "overwrite"}
        )
        carried = CommitProperties(custom_metadata={"userMetadata": of.model_dump_json()})
        write_deltalake(
            self.uri(table), rows, mode="overwrite", partition_by=["month"], commit_properties=carried, **more
        )


def account(table: TableRef, rows: Rows, **more: Any) -> Account:
    def counts(value: int) -> PartitionCounts:
        had = 1 if value else 0
        return PartitionCounts(read=had, written=had, quarantined=0, deduplicated=0, content_hash=str(value))

    of = {"run": "r", "verdict": {}, "suite_version": "s", "code_version": "c", **more}
    return Account(table=str(table), partitions={name: counts(one) for name, one in rows.items()}, **of)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path)
    lake.publish({JAN: 1, FEB: 2})
    lake.make()
    assert lake.due().months == ()
    return lake


def test_a_month_with_other_rows_is_made_anew(lake: Lake) -> None:
    lake.publish({FEB: 5}, (FEB,))
    assert lake.due() == Rebuild((FEB,), "changed in gold.read", {"gold.read": 0})


def test_columns_with_other_names_make_the_whole_table(lake: Lake) -> None:
    """The hash of a month is of its values in their order: it is the same."""
    lake.publish({JAN: 1, FEB: 2}, names=("x_new", "y"))
    assert lake.due() == Rebuild(None, "gold.read has other columns")


def test_a_month_that_is_emptied_behind_a_change_by_hand_vanishes(lake: Lake) -> None:
    DeltaTable(lake.uri(READ)).delete(f"month = '{JAN}'")
    assert lake.due().months is None
    lake.make()
    lake.publish({}, (FEB,))
    assert lake.due().months == (FEB,)


def test_a_month_that_goes_back_to_what_it_was_before_a_change_by_hand_is_made_anew(lake: Lake) -> None:
    DeltaTable(lake.uri(READ)).update({"x": "9"}, predicate=f"month = '{FEB}'")
    lake.make()
    lake.publish({FEB: 2}, (FEB,))
    assert lake.due().months == (FEB,)


def test_a_table_that_was_removed_and_made_again_is_another_one(lake: Lake) -> None:
    shutil.rmtree(lake.uri(READ))
    lake.publish({JAN: 6})
    lake.publish({FEB: 7}, (FEB,))
    lake.publish({MAR: 8}, (MAR,))
    assert lake.due() == Rebuild(None, "gold.read is another table than before")


def test_a_publish_that_ended_between_its_commits_is_made_up_for(lake: Lake) -> None:
    """Its quarantine was first; the source has taken the rows back since."""
    half = account(MADE, {FEB: 0}, run="r2", sequence=9, code_version=lake.mart.version)
    lake._commit(MADE.quarantine, pa.table({"month": [FEB], "x": [5]}), half, ())
    assert lake.due().months == (FEB,)
    inputs = {str(READ): 0}
    whole = account(MADE, {FEB: 2}, run="r3", sequence=10, code_version=lake.mart.version, inputs=inputs)
    for table in (MADE.quarantine, MADE):
        lake._commit(table, pa.table({"month": [FEB], "x": [2]}), whole, (FEB,))
    assert lake.due().months == ()


def test_a_suite_that_has_changed_judges_the_whole_table(lake: Lake) -> None:
    lake.make(suite="earlier")
    assert lake.due() == Rebuild(None, "its suite has changed, by which the other months were judged")
