"""Each kind of difference is found, said in plain words, and asks for its remedy; agreement is silent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from deltalake import DeltaTable
from ledger_tables import publish, write

from millstream import ledger
from millstream.lake.storage import Storage
from millstream.lake.tables import TableRef
from millstream.landing import Landing, in_memory
from millstream.reconcile import Difference, Event, compare

TABLE = "silver.flights"
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


def test_a_later_run_of_other_months_does_not_make_up_for_it(lake: str) -> None:
    land(lake, "r1", None, NOW - 9 * HOUR, "2013-01")
    land(lake, "r2", None, NOW - 8 * HOUR, "2013-02")
    version = publish(lake, TABLE, "r2", read=3)
    (text,) = texts(differences(lake, told(version, "r2")), "person")
    assert "run r1 landed" in text


def test_rows_that_were_landed_and_not_accounted_for(lake: str) -> None:
    land(lake, "r1", rows=10)
    version = publish(lake, TABLE, "r1", read=9)
    assert texts(differences(lake, told(version)), "person") == [
        f"{TABLE}: run r1 landed 10 rows and accounted for 9"
    ]


def test_a_replay_of_a_part_is_not_taken_for_the_whole(lake: str) -> None:
    land(lake, "r1", rows=10)
    first = publish(lake, TABLE, "r1", read=10)
    second = publish(lake, TABLE, "r1", read=4, replay="q1")
    assert differences(lake, told(first), told(second, "q1")) == []


def test_an_account_whose_sum_does_not_hold(lake: str) -> None:
    version = publish(lake, TABLE, "r1", read=9, late=-1)
    account = ledger.entries(TableRef.parse(TABLE), lake)[0]
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
        f"{TABLE}: version 1 was made by WRITE, not by a publish"
    ]
    # The next publish accounts for the table again.
    last = publish(lake, TABLE, "r2", read=9)
    assert differences(lake, told(first), told(last)) == []


def test_maintenance_is_no_difference(lake: str) -> None:
    version = publish(lake, TABLE, "r1", read=9)
    DeltaTable(TableRef.parse(TABLE).uri(lake)).alter.set_table_properties({"delta.appendOnly": "false"})
    assert differences(lake, told(version)) == []


def test_a_lost_event_is_to_be_told_again(lake: str) -> None:
    publish(lake, TABLE, "r1", read=9)
    version = publish(lake, TABLE, "r2", read=9, quarantined=2)
    (found,) = differences(lake, told(0, "r1"))
    assert str(found) == (
        f"{TABLE}: version 1 was published by run r2, and Airflow has no event of it: "
        "its readers were not told"
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
        "a later event has told its readers"
    ]


def test_versions_older_than_what_airflow_remembers_are_not_mentioned(lake: str) -> None:
    for run in ("r1", "r2"):
        publish(lake, TABLE, run, read=9)
    assert differences(lake, told(1)) == []


def test_a_doubled_event_is_only_mentioned(lake: str) -> None:
    version = publish(lake, TABLE, "r1", read=9)
    assert texts(differences(lake, told(version), told(version)), "none") == [
        f"{TABLE}: version 0 was told 2 times; its readers find nothing new and do nothing"
    ]


def test_a_run_that_changed_nothing_tells_the_same_version_again(lake: str) -> None:
    version = publish(lake, TABLE, "r1", read=9)
    assert differences(lake, told(version, "r1"), told(version, "r2", changed=False)) == []


def test_an_event_of_a_version_that_the_table_has_not(lake: str) -> None:
    publish(lake, TABLE, "r1", read=9)
    assert texts(differences(lake, told(0), told(4)), "person") == [
        f"{TABLE}: Airflow has an event of version 4, the table ends with 0: was it restored?"
    ]
