"""The landing zone: content-named objects, a manifest written last, nothing half-written."""

from __future__ import annotations

import hashlib
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import pytest

from millstream.errors import ClusterError, SourceDataError
from millstream.lake.storage import Storage
from millstream.landing.manifest import (
    landed_later,
    latest_manifest,
    manifests_of,
    read_manifest,
    run_key,
    verify,
)
from millstream.landing.run import Landing, in_memory
from millstream.landing.watermarks import at_least, highest, look_back

CONTENT = b"carrier,name\n9E,Endeavor Air Inc.\n"


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


@pytest.fixture
def storage(lake: Path) -> Storage:
    return Storage(f"file://{lake}")


def landed_files(lake: Path) -> list[str]:
    return sorted(path.relative_to(lake).as_posix() for path in lake.rglob("*") if path.is_file())


def refuse(stream: BinaryIO) -> None:
    raise SourceDataError(f"{len(stream.read())} bytes, none good")


def test_object_is_named_by_its_content_and_manifest_says_where_it_came_from(storage, lake):
    noon = datetime(2013, 2, 1, 12, tzinfo=UTC)
    landing = Landing(storage, "airlines", "manual__1", now=lambda: noon)
    modified = datetime(2013, 1, 31, tzinfo=UTC)

    file = landing.land("airlines.csv", "airlines.csv", in_memory(CONTENT), modified=modified)
    manifest = landing.commit(["2013-01"], [file])

    digest = hashlib.sha256(CONTENT).hexdigest()
    assert set(landed_files(lake)) == {
        f"landing/airlines/{digest[:12]}-airlines.csv",
        "landing/airlines/_manifests/manual__1.json",
    }
    assert (lake / file.path).read_bytes() == CONTENT
    assert file.model_dump() == {
        "path": f"landing/airlines/{digest[:12]}-airlines.csv",
        "source": "airlines.csv",
        "size": 34,
        "sha256": digest,
        "modified": modified,
        "version": None,
        "landed_at": noon,
        "partition": None,
        "rows": None,
        "watermark": None,
        "status": "new",
        "seen": (),
        "keys": False,
        "pieces": (),
    }
    assert read_manifest(storage, "airlines", "manual__1") == manifest
    assert (manifest.run, manifest.partitions, manifest.fetch_began) == ("manual__1", ("2013-01",), noon)


def test_partition_is_part_of_the_path(storage):
    file = Landing(storage, "flights", "r").land("f.zip", "f.zip", in_memory(b"x"), partition="2013-01")
    assert file.path == f"landing/flights/partition=2013-01/{hashlib.sha256(b'x').hexdigest()[:12]}-f.zip"


def test_changed_source_is_noticed_and_the_old_object_stays(storage, lake):
    statuses = []
    for run, content in [("1", b"a"), ("2", b"a"), ("3", b"b"), ("4", b"a")]:
        landing = Landing(storage, "airlines", run)
        file = landing.land("airlines.csv", "airlines.csv", in_memory(content))
        landing.commit([], [file])
        statuses.append(file.status)

    assert statuses == ["new", "unchanged", "changed", "changed"]
    objects = [path for path in landed_files(lake) if not path.endswith(".json")]
    assert len(objects) == 2


def test_manifests_are_ordered_although_the_clock_is_set_back(storage):
    noon = datetime(2013, 2, 1, 12, tzinfo=UTC)
    clock = {"1": noon, "2": noon - timedelta(hours=1), "3": noon - timedelta(hours=1), "4": noon}
    for run, time in clock.items():
        landing = Landing(storage, "airlines", run, now=lambda time=time: time)
        landing.commit([], [landing.land("airlines.csv", "airlines.csv", in_memory(run.encode()))])

    assert [one.run for one in manifests_of(storage, "airlines")] == ["1", "2", "3", "4"]
    assert len(landed_later(storage, "airlines", "1")) == 3


def test_of_two_runs_the_one_that_began_later_is_the_newer_whichever_lands_first(storage):
    minutes = iter(range(60))
    now = lambda: datetime(2013, 2, 1, 12, next(minutes), tzinfo=UTC)  # noqa: E731
    slow, quick = (Landing(storage, "flights", run, now) for run in ("slow", "quick"))
    slow.begin()
    old = slow.land("01.csv", "01.csv", in_memory(b"old"))
    quick.begin()
    quick.commit([], [quick.land("01.csv", "01.csv", in_memory(b"new"))])
    slow.commit([], [old])
    assert [one.run for one in manifests_of(storage, "flights")] == ["slow", "quick"]

    # The same files once more, as after a retry of the task that lands them, are as old as they were.
    slow.commit([], [old])
    assert [one.run for one in manifests_of(storage, "flights")] == ["slow", "quick"]
    slow.begin()
    slow.commit([], [slow.land("01.csv", "01.csv", in_memory(b"newest"))])
    assert [one.run for one in manifests_of(storage, "flights")] == ["quick", "slow"]


def test_a_run_that_began_after_the_clock_was_set_back_is_the_newer(storage):
    noon = datetime(2013, 2, 1, 12, tzinfo=UTC)
    for run, now in (("before", noon), ("after", noon - timedelta(hours=1))):
        landing = Landing(storage, "flights", run, now=lambda now=now: now)
        landing.begin()
        landing.commit([], [])
    assert [one.run for one in manifests_of(storage, "flights")] == ["before", "after"]


def test_unchanged_source_is_not_written_again(storage, lake):
    first = Landing(storage, "airlines", "1")
    file = first.land("airlines.csv", "airlines.csv", in_memory(CONTENT))
    first.commit([], [file])
    before = (lake / file.path).stat()

    Landing(storage, "airlines", "2").land("airlines.csv", "airlines.csv", in_memory(CONTENT))

    after = (lake / file.path).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_what_is_delivered_for_another_period_lands_in_its_folder(storage):
    files = []
    for run, partition in (("1", None), ("2", "2013-01")):
        landing = Landing(storage, "airlines", run)
        file = landing.land("airlines.csv", "airlines.csv", in_memory(CONTENT), partition=partition)
        landing.commit([], [file])
        files.append(file)
    first, second = files
    assert "partition=" not in first.path
    assert "/partition=2013-01/" in second.path
    assert (first.sha256, second.status) == (second.sha256, "unchanged")


def test_refused_bytes_leave_nothing_and_a_later_try_lands(storage, lake):
    landing = Landing(storage, "airlines", "1")
    with pytest.raises(SourceDataError, match="34 bytes, none good"):
        landing.land("airlines.csv", "airlines.csv", in_memory(CONTENT), refuse)
    assert landed_files(lake) == []

    landing.commit([], [landing.land("airlines.csv", "airlines.csv", in_memory(CONTENT))])
    assert len(landed_files(lake)) == 2


def test_source_that_breaks_off_leaves_nothing(storage, lake):
    class Broken(io.RawIOBase):
        def readable(self):
            return True

        def readinto(self, buffer):
            raise SourceDataError("the line is dead")

    with pytest.raises(SourceDataError, match="the line is dead"):
        Landing(storage, "airlines", "1").land("a", "a", lambda: Broken())
    assert landed_files(lake) == []


def test_verify_names_the_damaged_object_and_landing_again_heals_it(storage, lake):
    landing = Landing(storage, "airlines", "manual__1")
    file = landing.land("airlines.csv", "airlines.csv", in_memory(CONTENT))
    manifest = landing.commit([], [file])
    verify(storage, manifest)

    (lake / file.path).write_bytes(CONTENT[:-1])
    with pytest.raises(SourceDataError) as refused:
        verify(storage, manifest)
    assert str(refused.value) == (
        f"airlines: landed files are missing or not as received: {file.path}. "
        "What to do: clear the extract task of run manual__1 to land them again"
    )

    again = Landing(storage, "airlines", "manual__1")
    manifest = again.commit([], [again.land("airlines.csv", "airlines.csv", in_memory(CONTENT))])
    verify(storage, manifest)


def test_manifest_of_a_run_that_landed_nothing(storage):
    with pytest.raises(SourceDataError) as refused:
        read_manifest(storage, "airlines", "manual__1")
    assert str(refused.value) == (
        "airlines: run manual__1 has landed nothing (landing/airlines/_manifests/manual__1.json does not "
        "exist). What to do: run its extract task first"
    )


def test_latest_manifest_is_the_newest_that_is_accepted(storage):
    start = datetime(2013, 1, 1, tzinfo=UTC)
    # Run ids that sort against time: the newest is not the last name.
    for days, run in enumerate(["c", "b", "a"]):
        Landing(storage, "weather", run, now=lambda days=days: start + timedelta(days)).commit([], [], run)

    assert latest_manifest(storage, "weather").run == "a"
    assert latest_manifest(storage, "weather", lambda manifest: manifest.run != "a").run == "b"
    assert latest_manifest(storage, "planes") is None


def test_what_only_later_runs_have_landed(storage):
    def landed(run, *contents):
        landing = Landing(storage, "flights", run)
        return landing.commit([], [landing.land(one, one, in_memory(one.encode())) for one in contents]).paths

    landed("r1", "a", "b")
    _, c, d = landed("r2", "b", "c", "d")
    (_, e) = landed("r3", "c", "e")
    assert landed_later(storage, "flights", "r1") == {c, d, e}
    assert landed_later(storage, "flights", "r2") == {e}
    assert landed_later(storage, "flights", "r3") == set()


def test_watermark_moves_to_the_highest_landed_and_stays_without_rows(storage):
    landing = Landing(storage, "weather", "1")
    files = [
        landing.land(name, name, in_memory(name.encode()), watermark=watermark)
        for name, watermark in [("1", "2013-01-02T00:00:00Z"), ("2", "2013-01-03T00:00:00Z"), ("3", None)]
    ]
    assert landing.commit([], files, "2013-01-01T00:00:00Z").watermark_high == "2013-01-03T00:00:00Z"
    assert landing.commit([], [], "2013-01-01T00:00:00Z").watermark_high == "2013-01-01T00:00:00Z"


def test_notes_last_until_the_manifest(storage, lake):
    landing = Landing(storage, "weather", "1")
    landing.note("pages.json", "[1]")
    assert Landing(storage, "weather", "1").noted("pages.json") == "[1]"
    assert Landing(storage, "weather", "2").noted("pages.json") is None

    landing.commit([], [])
    assert landing.noted("pages.json") is None
    assert landed_files(lake) == ["landing/weather/_manifests/1.json"]


@pytest.mark.parametrize(
    ("run", "start"),
    [
        ("manual__2013-01-01T00:00:00+00:00", "manual__2013-01-01T00_00_00_00_00-"),
        ("../../etc/passwd", "______etc_passwd-"),
        ("..", "__-"),
        ("", "_-"),
        ("ünï x", "_n_x-"),
    ],
)
def test_run_key_is_a_safe_file_name(run, start):
    assert run_key(run).startswith(start)
    assert len(run_key(run)) == len(start) + 8
    assert run_key(run_key(run)) == run_key(run)


def test_run_keys_of_different_runs_differ():
    assert run_key("a:b") != run_key("a+b")
    assert run_key("a" * 300) != run_key("a" * 301)
    assert len(run_key("a" * 300)) == 120
    assert run_key("scheduled__2013-01") == "scheduled__2013-01"


def test_failing_storage_is_a_cluster_error_that_says_where(tmp_path):
    (tmp_path / "lake").write_text("a file where the lake should be")
    storage = Storage(f"file://{tmp_path / 'lake'}")
    with pytest.raises(
        ClusterError, match=r"the lake's storage failed at landing/airlines/.*check that it is mounted"
    ):
        Landing(storage, "airlines", "1").land("a", "a", in_memory(b"a"))


def test_watermarks_are_compared_as_what_they_mean() -> None:
    assert highest(["9", "10", "-3"]) == "10"
    assert highest(["2024-05-01T10:00:00Z", "2024-05-01T10:00:00.5Z", "2024-05-01 10:00:00"]) == (
        "2024-05-01T10:00:00.5Z"
    )
    assert highest(["2024-05-01T10:00:00+02:00", "2024-05-01T09:00:00Z"]) == "2024-05-01T09:00:00Z"
    assert highest([]) is None
    assert at_least("2024-05-01T10:00:00Z", "2024-05-01 10:00:00")
    assert not at_least("9", "10")
    assert at_least(None, "10")
    assert at_least("10", "2024-05-01"), "which is further nobody knows"
    assert look_back("2024-05-01T10:00:00Z", timedelta(days=1)) == "2024-04-30T10:00:00+00:00"
    assert look_back("10", 3) == "7"
    assert look_back("10", timedelta(days=1)) == "10"
