"""Each kind of difference is found, said in plain words, and asks for its remedy; agreement is silent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, write_deltalake

from millstream.lake import history
from millstream.lake.accounts import Account
from millstream.lake.storage import Storage
from millstream.lake.tables import TableRef
from millstream.landing.run import Landing, in_memory
from millstream.upkeep.reconcile import Difference, Event, compare
from tests.support.ledger_tables import account, publish, write

TABLE = "silver.flights"
REFERENCE = TableRef.parse(TABLE)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def lake(tmp_path: Path) -> str:
    return f"file://{tmp_path}/lake"


def land(
    lake: str, run: str, rows: int | None = None, moment: datetime = NOW - 9 * HOUR, *months: str
) -> str:
    landing = Landing(Storage(lake), "flights", run, now=lambda: moment)
    file = landing.land("drop/flights", "flights.csv", in_memory(f"rows of {run}".encode()), rows=rows)
    landing.commit(list(months), [file])
    return file.path


def differences(lake: str, *events: Event) -> list[Difference]:
    return compare(lake, {"flights": HOUR}, {TABLE: events}, NOW)


def told(version: int, run: str | None = None, changed: bool = True) -> Event:
    return Event.of({"version": version, "changed": changed}, run)


def texts(found: list[Difference], remedy: str) -> list[str]:
    assert {one.remedy for one in found} <= {remedy}
    return [str(one) for one in found]


def test_what_agrees_is_not_mentioned(lake: str) -> None:
    land(lake, "r1", rows=10)
    version = publish(lake, TABLE, "r1", read=10, quarantined=2, deduplicated=1)
    assert differences(lake, told(version, "r1")) == []


def test_an_empty_lake_agrees(lake: str) -> None:
    assert differences(lake) == []


def test_a_landed_file_that_was_damaged_or_lost(lake: str) -> None:
    path = land(lake, "r1", rows=1)
    version = publish(lake, TABLE, "r1", read=1)
    Storage(lake).write(path, b"other bytes")
    expected = [f"{path}: missing, or not as run r1 received it; clear extract of that run to fetch it again"]
    assert texts(differences(lake, told(version)), "person") == expected
    Storage(lake).remove(path)
    assert texts(differences(lake, told(version)), "person") == expected


def test_a_run_that_landed_and_was_never_published(lake: str) -> None:
    land(lake, "r1")
    (text,) = texts(differences(lake), "person")
    assert text.startswith(f"{TABLE}: run r1 landed 1 files at 2026-05-31 15:00 and was never published")


def test_a_run_that_may_still_be_under_way(lake: str) -> None:
    land(lake, "r1", None, NOW - HOUR / 2)
    assert differences(lake) == []


def test_a_run_that_found_its_rows_in_the_table_already_is_known_by_its_event(lake: str) -> None:
    version = publish(lake, TABLE, "r0", read=3)
    land(lake, "r1")
    assert differences(lake, told(version, "r0"), told(version, "r1", changed=False)) == []


def test_a_later_run_of_the_same_months_makes_up_for_it(lake: str) -> None:
    land(lake, "r1", None, NOW - 9 * HOUR, "2013-01")
    land(lake, "r2", None, NOW - 8 * HOUR, "2013-01", "2013-02")
    version = publish(lake, TABLE, "r2", read=3)
    assert differences(lake, told(version, "r2")) == []


def test_later_runs_make_up_for_it_together(lake: str) -> None:
    land(lake, "r1", None, NOW - 9 * HOUR, "2013-01", "2013-02")
    land(lake, "r2", None, NOW - 8 * HOUR, "2013-01")
    publish(lake, TABLE, "r2", read=3, partition="2013-01")
    (text,) = texts(differences(lake, told(0, "r2")), "person")
    assert "run r1 landed" in text
    land(lake, "r3", None, NOW - 7 * HOUR, "2013-02")
    publish(lake, TABLE, "r3", read=3, partition="2013-02")
    assert differences(lake, told(0, "r2"), told(1, "r3")) == []


def test_a_later_run_of_other_months_does_not_make_up_for_it(lake: str) -> None:
    land(lake, "r1", None, NOW - 9 * HOUR, "2013-01")
    land(lake, "r2", None, NOW - 8 * HOUR, "2013-02")
    version = publish(lake, TABLE, "r2", read=3)
    (text,) = texts(differences(lake, told(version, "r2")), "person")
    assert "run r1 landed" in text


def test_rows_that_a_cleared_run_has_landed_and_may_still_publish(lake: str) -> None:
    land(lake, "r1", rows=10)
    version = publish(lake, TABLE, "r1", read=10, fetch_began=NOW - 9 * HOUR)
    land(lake, "r1", 11, NOW - HOUR / 2)
    assert differences(lake, told(version, "r1")) == []


def test_rows_that_were_landed_and_not_accounted_for(lake: str) -> None:
    land(lake, "r1", rows=10)
    version = publish(lake, TABLE, "r1", read=9, fetch_began=NOW - 9 * HOUR)
    assert texts(differences(lake, told(version)), "person") == [
        f"{TABLE}: run r1 landed 10 rows and accounted for 9"
    ]


def test_a_replay_of_a_part_is_not_taken_for_the_whole(lake: str) -> None:
    land(lake, "r1", rows=10)
    first = publish(lake, TABLE, "r1", read=10, fetch_began=NOW - 9 * HOUR)
    second = publish(lake, TABLE, "r1", read=4, fetch_began=NOW - 9 * HOUR, replay="q1")
    assert differences(lake, told(first), told(second, "q1")) == []


def test_an_account_whose_sum_does_not_hold(lake: str) -> None:
    version = publish(lake, TABLE, "r1", read=9, late=-1)
    account = history.read(TableRef.parse(TABLE), lake).accounts[0]
    account.partitions["all"].late = 0
    version = write(lake, TABLE, 10, userMetadata=account.model_dump_json())
    assert texts(differences(lake, told(version - 1), told(version)), "person") == [
        f"{TABLE}: version 1, all: 9 rows were read, 10 accounted for"
    ]


def test_a_table_with_other_rows_than_its_account(lake: str) -> None:
    version = publish(lake, TABLE, "r1", read=9, rows=8)
    assert texts(differences(lake, told(version)), "person") == [f"{TABLE}: has 8 rows, its accounts say 9"]


def test_a_commit_that_was_no_publish(lake: str) -> None:
    first = publish(lake, TABLE, "r1", read=9)
    write(lake, TABLE, 5)
    assert texts(differences(lake, told(first)), "person") == [
        f"{TABLE}: version 1 was made by WRITE, not by a publish: publish it again"
    ]
    # The next publish accounts for the table again.
    last = publish(lake, TABLE, "r2", read=9)
    assert differences(lake, told(first), told(last)) == []


def test_a_table_that_was_made_anew_by_hand(lake: str) -> None:
    publish(lake, TABLE, "r1", read=9)
    DeltaTable.create(REFERENCE.uri(lake), DeltaTable(REFERENCE.uri(lake)).schema(), mode="overwrite")
    (text,) = of_tables(lake)
    assert text.endswith("not by a publish: publish it again")


def test_maintenance_is_no_difference(lake: str) -> None:
    version = publish(lake, TABLE, "r1", read=9)
    table = DeltaTable(REFERENCE.uri(lake))
    table.alter.set_table_properties({"delta.appendOnly": "false"})
    table.optimize.compact()
    assert differences(lake, told(version)) == []


def test_a_commit_that_changes_no_rows_is_no_difference(lake: str) -> None:
    version = publish(lake, TABLE, "r1", read=9)
    DeltaTable(REFERENCE.uri(lake)).alter.add_constraint({"positive": "number >= 0"})
    assert differences(lake, told(version)) == []


def rows_of(numbers: range, month: str = "2013-01") -> pa.Table:
    return pa.table(
        {"number": pa.array(numbers, pa.int64()), "_partition": pa.array([month] * len(numbers), pa.string())}
    )


def noted(account: Account) -> CommitProperties:
    return CommitProperties(custom_metadata={"userMetadata": account.model_dump_json()})


def put(place: TableRef, lake: str, rows: pa.Table, condition: str, entry: Account) -> None:
    """Rows in the place of those for which `condition` holds."""
    write_deltalake(
        place.uri(lake),
        rows,
        mode="overwrite",
        predicate=condition if history.version(place, lake) is not None else None,
        partition_by=["_partition"],
        commit_properties=noted(entry),
    )


def publish_month(lake: str, run: str, month: str, rows: int, quarantined: int = 0) -> None:
    """A month of a table that is cut by months, and of its quarantine."""
    entry = account(TABLE, run, read=rows + quarantined, partition=month, quarantined=quarantined)
    for place, count in ((REFERENCE.quarantine, quarantined), (REFERENCE, rows)):
        put(place, lake, rows_of(range(count), month), f"_partition = '{month}'", entry)


def publish_increment(
    lake: str, run: str, numbers: range, quarantined: int = 0, fetch_began: datetime | None = None
) -> None:
    """Rows that are merged into the table; broken ones take the place of the run's own in the quarantine."""
    counts = {"read": len(numbers) + quarantined, "quarantined": quarantined}
    entry = account(TABLE, run, **counts, fetch_began=fetch_began)
    broken = rows_of(range(quarantined), "all").append_column(
        "_run", pa.array([run] * quarantined, pa.string())
    )
    if quarantined or history.version(REFERENCE.quarantine, lake) is not None:
        place = REFERENCE.quarantine
        if history.version(place, lake) is None:
            DeltaTable.create(place.uri(lake), broken.schema, partition_by=["_partition"])
        put(place, lake, broken, f"_run = '{run}'", entry)
    if history.version(REFERENCE, lake) is None:
        write_deltalake(
            REFERENCE.uri(lake), rows_of(numbers), mode="overwrite", commit_properties=noted(entry)
        )
        return
    merge = DeltaTable(REFERENCE.uri(lake)).merge(
        rows_of(numbers), "old.number = new.number", "new", "old", commit_properties=noted(entry)
    )
    merge.when_matched_update_all().when_not_matched_insert_all().execute()


def delete(lake: str, place: TableRef = REFERENCE, which: str = "number = 0") -> int:
    """By hand; returns the version."""
    table = DeltaTable(place.uri(lake))
    table.delete(which)
    return table.version()


def of_tables(lake: str) -> list[str]:
    """What differs in tables and their accounts; Airflow knows of nothing, and is not asked."""
    return texts(compare(lake, {"flights": HOUR}, {}, NOW), "person")


def test_increments_agree(lake: str) -> None:
    publish_increment(lake, "r1", range(5), quarantined=2)
    publish_increment(lake, "r2", range(4, 7))
    publish_increment(lake, "r3", range(6, 9), quarantined=1)
    assert of_tables(lake) == []


def test_rows_deleted_by_hand_are_still_told_after_another_increment(lake: str) -> None:
    publish_increment(lake, "r1", range(5))
    version = delete(lake)
    publish_increment(lake, "r2", range(4, 7))
    publish_increment(lake, "r3", range(6, 9))
    assert of_tables(lake) == [
        f"{TABLE}: version {version} was made by DELETE, not by a publish: restore the version before it if "
        "nothing was published since, else run with full_refresh"
    ]


@pytest.mark.parametrize(("began", "mended"), [("before", False), ("after", True)])
def test_a_run_that_reads_its_source_from_the_start_mends_what_was_done_before_it_began(
    lake: str, began: str, mended: bool
) -> None:
    publish_increment(lake, "r1", range(5), quarantined=1)
    start = {"before": datetime.now(UTC)}
    delete(lake)
    delete(lake, REFERENCE.quarantine)
    start["after"] = max(datetime.now(UTC), last_commit(lake) + timedelta(milliseconds=1))
    land(lake, "r2", None, NOW)
    publish_increment(lake, "r2", range(5), quarantined=1, fetch_began=start[began])
    assert (of_tables(lake) == []) is mended


def last_commit(lake: str) -> datetime:
    commits = (history.read(place, lake, limit=1).commits for place in (REFERENCE, REFERENCE.quarantine))
    return max(commit.made_at for newest in commits for commit in newest)


def test_an_increment_mends_nothing_although_it_began_later(lake: str) -> None:
    publish_increment(lake, "r1", range(5))
    delete(lake)
    landing = Landing(Storage(lake), "flights", "r2", now=lambda: NOW)
    landing.commit([], [landing.land("api", "page", in_memory(b"new"))], watermark_low="2013-01-01")
    publish_increment(lake, "r2", range(4, 7), fetch_began=last_commit(lake) + HOUR)
    (text,) = of_tables(lake)
    assert "was made by DELETE" in text


def test_a_restore_mends_unless_it_takes_a_publish_back(lake: str) -> None:
    publish_increment(lake, "r1", range(5))
    publish_increment(lake, "r2", range(4, 7))
    before = delete(lake) - 1
    DeltaTable(REFERENCE.uri(lake)).restore(before)
    publish_increment(lake, "r3", range(6, 9))
    assert of_tables(lake) == []

    table = DeltaTable(REFERENCE.uri(lake))
    table.restore(before)
    (text,) = of_tables(lake)
    assert text.startswith(f"{TABLE}: version {table.version()} was made by RESTORE, not by a publish")


def test_what_was_done_to_a_month_matters_until_that_is_published_again(lake: str) -> None:
    publish_month(lake, "r1", "2013-01", 5)
    publish_month(lake, "r2", "2013-02", 4)
    version = delete(lake, which="number = 0 AND _partition = '2013-01'")
    publish_month(lake, "r3", "2013-02", 3)
    assert of_tables(lake) == [
        f"{TABLE}: version {version} was made by DELETE, not by a publish: publish 2013-01 again"
    ]
    publish_month(lake, "r4", "2013-01", 5)
    assert of_tables(lake) == []


def test_months_agree_with_their_quarantine(lake: str) -> None:
    publish_month(lake, "r1", "2013-01", 5, quarantined=3)
    publish_month(lake, "r2", "2013-02", 4, quarantined=2)
    publish_month(lake, "r3", "2013-01", 6, quarantined=1)
    assert of_tables(lake) == []


def test_a_quarantine_emptied_by_hand_is_told_until_its_rows_are_published_again(lake: str) -> None:
    publish_month(lake, "r1", "2013-01", 5, quarantined=3)
    version = delete(lake, REFERENCE.quarantine, "true")
    publish_month(lake, "r2", "2013-02", 4, quarantined=2)
    assert of_tables(lake) == [
        f"{REFERENCE.quarantine}: version {version} was made by DELETE, not by a publish: "
        "publish 2013-01 again"
    ]
    publish_month(lake, "r3", "2013-01", 5, quarantined=3)
    assert of_tables(lake) == []


def test_a_quarantine_of_increments_emptied_by_hand(lake: str) -> None:
    publish_increment(lake, "r1", range(5), quarantined=3)
    version = delete(lake, REFERENCE.quarantine, "true")
    publish_increment(lake, "r2", range(4, 7), quarantined=1)
    (text,) = of_tables(lake)
    assert text.startswith(f"{REFERENCE.quarantine}: version {version} was made by DELETE")


def test_a_quarantine_with_other_rows_than_its_account(lake: str) -> None:
    version = publish(lake, TABLE, "r1", read=9, quarantined=3)
    entry = history.read(REFERENCE, lake).accounts[0]
    write(lake, str(REFERENCE.quarantine), 2, userMetadata=entry.model_dump_json())
    assert texts(differences(lake, told(version)), "person") == [
        f"{REFERENCE.quarantine}: has 2 rows, its accounts say 3"
    ]


@pytest.mark.parametrize("increments", [False, True])
def test_a_quarantine_that_is_gone(lake: str, increments: bool) -> None:
    if increments:
        publish_increment(lake, "r1", range(5), quarantined=3)
        publish_increment(lake, "r2", range(4, 7))
    else:
        publish_month(lake, "r1", "2013-01", 5, quarantined=3)
        publish_month(lake, "r2", "2013-02", 5)
    Storage(lake).remove("silver/flights_quarantine")
    assert of_tables(lake) == [
        f"{REFERENCE.quarantine}: should have 3 rows of run r1, and has no account of it: "
        "publish that run again"
    ]


def test_a_lost_event_is_to_be_told_again(lake: str) -> None:
    publish(lake, TABLE, "r1", read=9)
    version = publish(lake, TABLE, "r2", read=9, quarantined=2)
    (found,) = differences(lake, told(0, "r1"))
    assert str(found) == (
        f"{TABLE}: version 1 was published by run r2, and Airflow has no event of it: "
        "its consumers do not know it"
    )
    assert found.remedy == "event"
    assert found.extra is not None
    assert found.extra["version"] == version
    assert (found.extra["read"], found.extra["written"], found.extra["quarantined"]) == (9, 7, 2)
    repaired = Event.of(found.extra, None)
    assert differences(lake, told(0, "r1"), repaired) == []


def test_a_lost_event_that_a_later_one_made_up_for_is_only_mentioned(lake: str) -> None:
    for run in ("r1", "r2", "r3"):
        publish(lake, TABLE, run, read=9)
    assert texts(differences(lake, told(0), told(2)), "none") == [
        f"{TABLE}: version 1 was published by run r2, and Airflow has no event of it; "
        "a later event has informed its consumers"
    ]


def test_versions_older_than_what_airflow_remembers_are_not_mentioned(lake: str) -> None:
    for run in ("r1", "r2"):
        publish(lake, TABLE, run, read=9)
    assert differences(lake, told(1)) == []


def test_a_doubled_event_is_only_mentioned(lake: str) -> None:
    version = publish(lake, TABLE, "r1", read=9)
    assert texts(differences(lake, told(version), told(version)), "none") == [
        f"{TABLE}: version 0 has 2 events; its consumers find nothing new and skip"
    ]


def test_a_run_that_changed_nothing_tells_the_same_version_again(lake: str) -> None:
    version = publish(lake, TABLE, "r1", read=9)
    assert differences(lake, told(version, "r1"), told(version, "r2", changed=False)) == []


def test_an_event_of_a_version_that_the_table_has_not(lake: str) -> None:
    publish(lake, TABLE, "r1", read=9)
    assert texts(differences(lake, told(0), told(4)), "person") == [
        f"{TABLE}: Airflow has an event of version 4, the table ends with 0: was it restored?"
    ]
