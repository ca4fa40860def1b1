"""Accounts read back from table histories."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from deltalake import DeltaTable

from millstream.errors import ConservationError
from millstream.jobs import rebuild_ledger
from millstream.lake import history
from millstream.lake.accounts import Account, PartitionCounts
from millstream.lake.tables import TableRef
from tests.support.ledger_tables import publish, write

TABLE = TableRef.parse("silver.flights")


@pytest.fixture
def lake(tmp_path: Path) -> str:
    return f"file://{tmp_path}/lake"


def test_maintenance_leaves_the_rows_unchanged_and_a_write_does_not(lake: str) -> None:
    first = publish(lake, str(TABLE), "r1", read=3)
    DeltaTable(TABLE.uri(lake)).alter.set_table_properties({"delta.appendOnly": "false"})
    assert history.version(TABLE, lake) == first + 1
    assert history.read(TABLE, lake).unchanged_since(first)
    write(lake, str(TABLE), 3)
    assert not history.read(TABLE, lake).unchanged_since(first)


def test_an_attempt_comes_after_those_that_have_committed_although_the_clock_is_set_back(lake: str) -> None:
    started = datetime(2026, 1, 1, tzinfo=UTC)
    milliseconds = 1_767_225_600_000

    def next_after(hours: int) -> int:
        return history.read_both(TABLE, lake).next_sequence(started + timedelta(hours=hours))

    assert next_after(0) == milliseconds
    publish(lake, str(TABLE), "r1", read=3, sequence=milliseconds)
    assert next_after(1) == milliseconds + 3_600_000
    assert next_after(-1) == milliseconds + 1
    # A publish that was cut off behind its first commit.
    publish(lake, str(TABLE.quarantine), "r2", read=1, sequence=milliseconds + 5)
    assert next_after(-1) == milliseconds + 6


@pytest.mark.parametrize("version", [None, 7])
def test_a_version_that_is_not_there_is_not_what_the_table_has(lake: str, version: int | None) -> None:
    assert not history.read(TABLE, lake).unchanged_since(version)
    publish(lake, str(TABLE), "r1", read=3)
    assert not history.read(TABLE, lake).unchanged_since(version)


def test_accounts_of_a_table_that_was_made_anew_by_hand_no_longer_hold(lake: str) -> None:
    publish(lake, str(TABLE), "r1", read=3)
    DeltaTable.create(TABLE.uri(lake), DeltaTable(TABLE.uri(lake)).schema(), mode="overwrite")
    assert history.read(TABLE, lake).latest_by_partition() == {}


def test_the_ledger_has_a_line_for_each_run_table_and_partition(lake: str) -> None:
    counts = {"quarantined": 2, "deduplicated": 1, "dropped": 2}
    publish(lake, "silver.flights", "r1", read=9, partition="2013-01", **counts)
    publish(lake, "silver.flights", "r2", read=4, partition="2013-02", late=1)
    publish(lake, "gold.arrival_delay_features", "r3", read=6, inputs={"silver.flights": 1})
    write(lake, "bronze.flights", 3)
    names = rebuild_ledger.SCHEMA.fieldNames()
    lines = [dict(zip(names, line, strict=True)) for line in rebuild_ledger.lines(lake)]
    assert [(line["table"], line["run"], line["partition"], line["version"]) for line in lines] == [
        ("silver.flights", "r2", "2013-02", 1),
        ("silver.flights", "r1", "2013-01", 0),
        ("gold.arrival_delay_features", "r3", "all", 0),
    ]
    parts = (
        "rows_written",
        "rows_quarantined",
        "rows_deduplicated",
        "rows_dropped",
        "rows_tombstones",
        "rows_late",
    )
    assert [tuple(line[part] for part in parts) for line in lines] == [
        (3, 0, 0, 0, 0, 1),
        (4, 2, 1, 2, 0, 0),
        (6, 0, 0, 0, 0, 0),
    ]
    assert all(line["rows_read"] == sum(line[part] for part in parts) for line in lines)
    assert lines[2]["inputs"] == {"silver.flights": 1}


def test_the_newest_account_of_a_run_is_found_behind_those_of_others(lake: str) -> None:
    for run, read in (("r1", 3), ("r2", 4), ("r1", 5), ("r3", 6)):
        publish(lake, str(TABLE), run, read=read)
    found = {run: history.read(TABLE, lake).latest_by_partition(run)["all"][1].read for run in ("r1", "r2")}
    assert found == {"r1": 5, "r2": 4}
    assert history.read(TABLE, lake).latest_by_partition()["all"][0].run == "r3"
    write(lake, str(TABLE), 1)
    assert history.read(TABLE, lake).latest_by_partition("r1") == {}


def test_what_a_publish_of_the_whole_table_has_removed_is_not_accounted_for_any_more(lake: str) -> None:
    for month in ("2013-01", "2013-12"):
        publish(lake, str(TABLE), "r1", read=3, partition=month)
    assert sorted(history.read(TABLE, lake).latest_by_partition()) == ["2013-01", "2013-12"]
    publish(lake, str(TABLE), "r2", read=3)
    assert sorted(history.read(TABLE, lake).latest_by_partition()) == ["all"]


def test_what_a_restore_has_undone_does_not_stand(lake: str) -> None:
    for number, run in enumerate(("r1", "r2", "r3"), 1):
        publish(lake, str(TABLE), run, read=3, watermark=f"2013-0{number}-01")
    delta = DeltaTable(TABLE.uri(lake))
    delta.restore(1)
    assert [entry.run for entry in history.read(TABLE, lake).standing] == ["r2", "r1"]
    assert history.read(TABLE, lake).watermark == "2013-02-01"
    publish(lake, str(TABLE), "r4", read=3)
    delta.update_incremental()
    delta.restore(0)
    assert [entry.run for entry in history.read(TABLE, lake).standing] == ["r1"]
    # Back to where it was after the first restore.
    delta.restore(3)
    assert [entry.run for entry in history.read(TABLE, lake).standing] == ["r2", "r1"]


def test_a_row_that_is_nowhere_stops_the_run() -> None:
    counts = PartitionCounts(read=5, written=2, quarantined=1, deduplicated=1, late=1, content_hash="1")
    account = Account(
        table=str(TABLE), run="r", partitions={"all": counts}, verdict={}, suite_version="s", code_version="c"
    )
    account.check_conservation(5)
    with pytest.raises(ConservationError, match="6 rows were read from the source but written 2"):
        account.check_conservation(6)


def test_what_has_been_read_opens_the_log_no_more(lake: str) -> None:
    publish(lake, str(TABLE), "r1", read=5, quarantined=2, watermark="2013-01-01")
    both = history.read_both(TABLE, lake)
    shutil.rmtree(lake.removeprefix("file://"))
    read = both.table
    assert (read.version, read.published_version, read.watermark) == (0, 0, "2013-01-01")
    assert read.unchanged_since(0)
    assert [account.run for account in read.accounts] == [account.run for account in read.standing] == ["r1"]
    assert [account.run for account in both.committed] == ["r1", "r1"]
    assert both.quarantine.accounts == []
    assert both.quarantine.accounts_of(TABLE)[0].is_copy_of(read.accounts[0])
    assert read.now is not None
    assert read.now.column_names == ["number", "month"]
    assert history.read(TABLE, lake).version is None


def test_a_commit_while_a_history_is_read_shifts_no_version(
    lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = [publish(lake, str(TABLE), f"r{number}", read=number) for number in (1, 2)]
    history_of = DeltaTable.history
    late: list[int] = []

    def beside_a_writer(table: DeltaTable, limit: int | None = None) -> list[dict[str, object]]:
        if not late:
            late.append(publish(lake, str(TABLE), "r3", read=3))
        return history_of(table, limit)

    monkeypatch.setattr(DeltaTable, "history", beside_a_writer)
    seen = history.read(TABLE, lake)
    assert {account.run: account.version for account in seen.accounts} == dict(
        zip(("r1", "r2", "r3"), [*versions, *late], strict=True)
    )
    assert seen.published_version == late[0]
    assert seen.now is not None
    assert seen.now.version == late[0]
