"""What runs leave behind goes when it is old, and nothing else does."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from millstream.engines.submission import Submission, SubmittedJob
from millstream.lake.storage import Storage
from millstream.landing.manifest import damaged_files, read_manifest
from millstream.landing.run import Landing, in_memory
from millstream.upkeep import retention
from millstream.upkeep.retention import (
    Removed,
    remove_event_logs,
    remove_landed,
    remove_staged,
    remove_submissions,
    remove_unlanded,
)
from tests.support.ledger_tables import publish

NOW = datetime(2026, 6, 1, tzinfo=UTC)
LIMIT = NOW - timedelta(days=14)


def write(path: Path, age: timedelta, content: bytes = b"12345") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    moment = (NOW - age).timestamp()
    os.utime(path, (moment, moment))
    return path


def test_staged_tables_go_when_nothing_in_them_is_new(tmp_path: Path) -> None:
    staging = tmp_path / "staging" / "silver.flights"
    old = write(staging / "r1" / "part.parquet", timedelta(days=20))
    verdict = write(staging / "r1__verdict.json", timedelta(days=20))
    retried = write(staging / "r2" / "_delta_log" / "0.json", timedelta(days=20))
    write(staging / "r2" / "_delta_log" / "1.json", timedelta(days=1))

    told = remove_staged(f"file://{tmp_path}", LIMIT, dry_run=True)
    assert old.exists()
    assert remove_staged(f"file://{tmp_path}", LIMIT) == told
    assert (told.files, told.bytes, told.removed_files, told.removed_bytes) == (4, 20, 2, 10)
    assert not old.parent.exists()
    assert not verdict.exists()
    assert retried.exists()


def test_an_empty_lake_has_nothing_to_remove(tmp_path: Path) -> None:
    assert remove_staged(f"file://{tmp_path}", LIMIT).files == 0


def test_a_submission_that_no_driver_read_goes_after_a_day(tmp_path: Path) -> None:
    root, week = f"file://{tmp_path}", timedelta(days=7)
    logins = {"MLFLOW_TRACKING_PASSWORD": "canary"}
    submitted = SubmittedJob(Storage(root), "d/r/t/-1", Submission(job="j", arguments={}, environment=logins))
    # The task is killed: neither driver nor task reads it, nor what another job has left.
    submitted.write()
    for path in (submitted.path, submitted.outcome_path, f"submissions/.{'0' * 32}.part"):
        write(tmp_path / path, week)
    young = write(tmp_path / "submissions" / "young.json", timedelta(hours=1))

    told = remove_submissions(root, NOW - timedelta(days=1), dry_run=True)
    assert (tmp_path / submitted.path).exists()
    assert remove_submissions(root, NOW - timedelta(days=1)) == told
    assert (told.files, told.removed_files) == (4, 3)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [young]


def test_event_logs_of_ended_servers_go_and_the_running_one_keeps_its_newest(tmp_path: Path) -> None:
    ended, running = tmp_path / "eventlog_v2_local-1", tmp_path / "eventlog_v2_local-2"
    write(ended / "events_1_local-1", timedelta(days=20))
    write(ended / "appstatus_local-1", timedelta(days=20))
    rolled = write(running / "events_1_local-2", timedelta(days=20))
    newest = write(running / "events_2_local-2", timedelta(hours=1))
    status = write(running / "appstatus_local-2.inprogress", timedelta(days=20))

    found = remove_event_logs(Storage(f"file://{tmp_path}"), LIMIT)

    assert (found.removed_files, found.removed_bytes) == (2, 10)
    assert not ended.exists()
    assert not rolled.exists()
    assert newest.exists()
    assert status.exists()


@pytest.fixture
def lake(tmp_path: Path) -> str:
    return f"file://{tmp_path}/lake"


def land(lake: str, run: str, moment: datetime, **contents: bytes) -> list[str]:
    landing = Landing(Storage(lake), "flights", run, now=lambda: moment)
    files = [landing.land(name, name, in_memory(content)) for name, content in contents.items()]
    landing.commit([], files)
    return [file.path for file in files]


def test_landed_bytes_go_once_published_unless_a_newer_run_names_them(lake: str) -> None:
    storage = Storage(lake)
    shared, alone = land(lake, "r1", LIMIT - timedelta(days=9), shared=b"same", alone=b"first")
    (unpublished,) = land(lake, "r2", LIMIT - timedelta(days=8), failed=b"broken")
    assert land(lake, "r3", LIMIT + timedelta(days=1), shared=b"same") == [shared]
    publish(lake, "silver.flights", "r1", read=2)
    publish(lake, "silver.flights", "r3", read=1)

    told = remove_landed(lake, "flights", LIMIT, NOW, dry_run=True)
    assert storage.exists(alone)
    assert remove_landed(lake, "flights", LIMIT, NOW) == told
    assert (told.files, told.removed_files, told.removed_bytes) == (3, 1, 5)
    assert not storage.exists(alone)
    assert storage.exists(shared)
    assert storage.exists(unpublished)

    manifest = read_manifest(storage, "flights", "r1")
    assert manifest.removed_at == NOW
    assert damaged_files(storage, manifest.files) == [alone]
    assert remove_landed(lake, "flights", LIMIT, NOW).removed_files == 0


def test_bytes_stay_that_tell_again_the_rows_which_a_look_back_reads(lake: str) -> None:
    def increment(run: str, watermark: str) -> str:
        landing = Landing(Storage(lake), "flights", run, now=lambda: LIMIT - timedelta(days=9))
        file = landing.land(run, run, in_memory(run.encode()), watermark=watermark)
        landing.commit([], [file])
        publish(lake, "silver.flights", run, read=1, watermark=watermark)
        return file.path

    long_ago, within, last = (
        increment("r1", "2013-01-01T00:00:00Z"),
        increment("r2", "2013-01-09 01:00:00"),
        increment("r3", "2013-01-09T23:00:00Z"),
    )
    remove_landed(lake, "flights", LIMIT, NOW, lookback=timedelta(days=1))
    assert [Storage(lake).exists(path) for path in (long_ago, within, last)] == [False, True, True]
    remove_landed(lake, "flights", LIMIT, NOW, lookback=timedelta(hours=1))
    assert [Storage(lake).exists(path) for path in (within, last)] == [False, True]


def test_a_removal_that_was_cut_off_is_finished_by_the_next(lake: str) -> None:
    storage = Storage(lake)
    (path,) = land(lake, "r1", LIMIT - timedelta(days=9), alone=b"first")
    publish(lake, "silver.flights", "r1", read=1)
    content = storage.read(path)
    remove_landed(lake, "flights", LIMIT, NOW)
    storage.write(path, content)

    assert remove_landed(lake, "flights", LIMIT, NOW + timedelta(days=7)).removed_files == 1
    assert not storage.exists(path)
    assert read_manifest(storage, "flights", "r1").removed_at == NOW


def at_age(lake: str, days: int, *paths: str) -> None:
    """Make files, or all files in folders, `days` old."""
    moment = (NOW - timedelta(days=days)).timestamp()
    for file in (file for path in paths for file in Storage(lake).files(path)):
        os.utime(f"{lake.removeprefix('file://')}/{file.path}", (moment, moment))


def fetch(lake: str, run: str, days: int, **contents: bytes) -> list[str]:
    """As a run that ended before its manifest, `days` ago; returns the paths of objects and notes."""
    landing = Landing(Storage(lake), "flights", run)
    landing.begin()
    files = [
        landing.land(name, name, in_memory(content), partition="2013-01")
        for name, content in contents.items()
    ]
    paths = [file.path for file in files]
    notes = f"landing/flights/_unfinished/{run}"
    at_age(lake, days, *paths, notes)
    return [*paths, notes]


def test_what_never_landed_goes_once_it_is_old(lake: str) -> None:
    storage = Storage(lake)
    (landed,) = land(lake, "r1", NOW - timedelta(days=90), landed=b"first")
    gone, notes = fetch(lake, "r2", 20, dead=b"second")
    running, began = fetch(lake, "r3", 1, young=b"third")
    parts = [
        write(
            Path(lake.removeprefix("file://")) / "landing" / "flights" / folder / name, timedelta(days=days)
        )
        for folder in ("", "partition=2013-01", "_manifests")
        for name, days in ((f".{'a' * 32}.part", 20), (f".{'b' * 32}.part", 0))
    ]
    stranger = write(Path(lake.removeprefix("file://")) / "landing/flights/README", timedelta(days=20))
    at_age(lake, 90, landed, "landing/flights/_manifests/r1.json")

    told = remove_unlanded(lake, "flights", LIMIT, dry_run=True)
    assert storage.exists(gone)
    assert remove_unlanded(lake, "flights", LIMIT) == told
    assert [storage.exists(path) for path in (landed, gone, notes, running, began)] == [
        True,
        False,
        False,
        True,
        True,
    ]
    assert [path.exists() for path in parts] == [False, True] * 3
    assert stranger.exists()
    assert read_manifest(storage, "flights", "r1").paths == [landed]
    assert (told.files, told.removed_files) == (10, 5)
    assert remove_unlanded(lake, "flights", LIMIT).removed_files == 0


def test_what_a_retry_goes_on_behind_stays_however_old_it_is(lake: str) -> None:
    storage = Storage(lake)
    page, notes = fetch(lake, "r1", 20, page=b"first")
    Landing(storage, "flights", "r1").note("walk/page-00000.json", f'{{"path":"{page}"}}')
    at_age(lake, 20, notes)
    Landing(storage, "flights", "r1").note("walk/page-00001.json", "{}")
    assert remove_unlanded(lake, "flights", LIMIT).removed_files == 0
    assert storage.exists(page)

    at_age(lake, 15, notes)
    assert remove_unlanded(lake, "flights", LIMIT).removed_files == 4
    assert not storage.exists(page)


def test_what_an_earlier_landing_of_a_run_has_published_stays(lake: str) -> None:
    """The run is cleared, and the gate refuses what it fetches now: the table rests on the old bytes."""
    storage, landing = Storage(lake), Landing(Storage(lake), "flights", "r1")
    old = landing.land("month", "month", in_memory(b"old"), partition="2013-01")
    landing.commit(["2013-01"], [old])
    publish(lake, "silver.flights", "r1", read=1)
    landing.begin()
    new = landing.land("month", "month", in_memory(b"new"), partition="2013-01")
    assert landing.commit(["2013-01"], [new]).replaced == (old.path,)
    at_age(lake, 400, old.path, new.path)
    remove_unlanded(lake, "flights", LIMIT)
    assert storage.exists(old.path)

    # Once more the old ones, and a third time others.
    landing.begin()
    assert landing.commit(["2013-01"], [old]).replaced == (new.path,)
    landing.begin()
    third = landing.land("month", "month", in_memory(b"third"), partition="2013-01")
    assert landing.commit(["2013-01"], [third]).replaced == (new.path, old.path)


def test_a_run_that_fetches_the_same_bytes_again_makes_them_young(lake: str) -> None:
    page, _ = fetch(lake, "r1", 20, page=b"first")
    landing = Landing(Storage(lake), "flights", "r2")
    assert landing.land("page", "page", in_memory(b"first"), partition="2013-01").path == page
    remove_unlanded(lake, "flights", LIMIT)
    assert Storage(lake).exists(page)


def test_a_run_that_lands_while_its_notes_are_looked_at_keeps_its_bytes(
    lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, landing = Storage(lake), Landing(Storage(lake), "flights", "r1")
    file = landing.land("page", "page", in_memory(b"first"))
    landing.begin()
    landing.note("walk/page-00000.json", file.model_dump_json())
    at_age(lake, 20, file.path)
    look = retention.unfinished

    def and_land(*asked: Any) -> Any:
        found = look(*asked)
        landing.commit([], [file])
        return found

    monkeypatch.setattr(retention, "unfinished", and_land)
    remove_unlanded(lake, "flights", LIMIT)
    assert storage.exists(file.path)


def test_a_lake_without_landing_has_nothing_that_never_landed(lake: str) -> None:
    assert remove_unlanded(lake, "flights", LIMIT) == Removed()
