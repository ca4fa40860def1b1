"""Deletes what runs leave behind: staged tables, submissions, landed files, files never landed, event logs.

Everything here may run twice, at the same time as anything else, and may be interrupted at any point.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from millstream.contracts.contract import USUAL_LOOKBACK
from millstream.lake import history
from millstream.lake.storage import File, Storage
from millstream.lake.tables import TableRef
from millstream.landing.manifest import Manifest, manifests_of, replace_manifest, unfinished, unlanded
from millstream.landing.watermarks import at_least, look_back


class Removed(BaseModel):
    """What existed, and what of it was (in a dry run: would be) removed."""

    model_config = ConfigDict(frozen=True)

    files: int = 0
    bytes: int = 0
    removed_files: int = 0
    removed_bytes: int = 0

    def plus(self, files: Iterable[File], removed: bool) -> Removed:
        count, size = 0, 0
        for file in files:
            count, size = count + 1, size + file.bytes
        return Removed(
            files=self.files + count,
            bytes=self.bytes + size,
            removed_files=self.removed_files + count * removed,
            removed_bytes=self.removed_bytes + size * removed,
        )


def remove_staged(lake_root: str, before: datetime, dry_run: bool = False) -> Removed:
    """Staged tables and verdicts that nothing has touched since `before`.

    Every DAG run has a deadline: with `before` further back than the longest of them their runs have ended.
    """
    storage = Storage(lake_root)
    folders = [f"staging/{table}" for table in storage.list("staging")]
    return _remove(
        storage, [f"{folder}/{name}" for folder in folders for name in storage.list(folder)], before, dry_run
    )


def remove_submissions(lake_root: str, before: datetime, dry_run: bool = False) -> Removed:
    """What submitted jobs were to do, with their logins, and how they ended, untouched since `before`.

    Driver and task remove both as they read them, and leave them if they are killed before.
    """
    storage = Storage(lake_root)
    folders = ("submissions", "outcomes")
    return _remove(
        storage, [f"{folder}/{name}" for folder in folders for name in storage.list(folder)], before, dry_run
    )


def remove_event_logs(storage: Storage, before: datetime, dry_run: bool = False) -> Removed:
    """Spark's event logs that nothing has been written to since `before`; `storage` is their folder.

    A server that runs for months rolls its log, so its older files go while it writes the newest.
    """
    folders = [name for name in storage.list("") if name.startswith("eventlog_v2_")]
    rolled = [
        f"{folder}/{name}"
        for folder in folders
        for name in storage.list(folder)
        if name.startswith("events_")
    ]
    single = [name for name in storage.list("") if name not in folders]
    removed = _remove(storage, [*rolled, *single], before, dry_run)
    for folder in folders:
        if not dry_run and not any(name.startswith("events_") for name in storage.list(folder)):
            storage.remove(folder)
    return removed


def remove_unlanded(lake_root: str, dataset: str, before: datetime, dry_run: bool = False) -> Removed:
    """Files in the landing zone of runs that did not land, untouched since `before`.

    These are the runs' notes, objects that no manifest names, and incomplete files. `before` is further back
    than any deadline. What younger notes name is kept, however old, because a retry of that run continues
    behind it.
    """
    storage = Storage(lake_root)
    # Before the manifests: a run that lands meanwhile writes its manifest first, and drops its notes then.
    notes = unfinished(storage, dataset)
    young = [file for files in notes.values() if not _untouched(files, before) for file in files]
    named = b"\n".join(storage.read(file.path) for file in young if storage.exists(file.path))
    left = unlanded(storage, dataset)
    needed = {path for path in left if path.encode() in named}
    return _remove(storage, [*notes, *left], before, dry_run, needed)


def _remove(
    storage: Storage,
    paths: Iterable[str],
    before: datetime,
    dry_run: bool,
    needed: Collection[str] = (),
) -> Removed:
    removed = Removed()
    for path in paths:
        files = storage.files(path)
        old = path not in needed and _untouched(files, before)
        removed = removed.plus(files, old)
        if old and not dry_run:
            storage.remove(path)
    return removed


def _untouched(files: Sequence[File], before: datetime) -> bool:
    return bool(files) and all(file.modified < before for file in files)


def remove_landed(
    lake_root: str,
    dataset: str,
    before: datetime,
    now: datetime,
    dry_run: bool = False,
    lookback: timedelta | int = USUAL_LOOKBACK,
) -> Removed:
    """Files that landed before `before`, whose rows are published, and that no other run needs, nor the next
    increment to recognise the rows of its `lookback`.

    The manifest stays and records the removal. The same bytes fetched again are landed again.
    """
    storage = Storage(lake_root)
    table = TableRef(zone="silver", name=dataset)
    read = history.read(table, lake_root)
    published, reached = {account.run for account in read.accounts}, read.watermark
    manifests = manifests_of(storage, dataset)
    old = [
        manifest
        for manifest in manifests
        if manifest.fetch_began < before
        and manifest.key in published
        and not _is_read_again(manifest, reached, lookback)
    ]
    needed = {path for manifest in manifests if manifest not in old for path in manifest.objects}
    removed = Removed()
    for path in sorted({path for manifest in manifests for path in manifest.objects}):
        gone = path not in needed
        removed = removed.plus(storage.files(path), gone)
    for manifest in [] if dry_run else old:
        _forget(storage, manifest, needed, now)
    return removed


def _is_read_again(manifest: Manifest, reached: str | None, lookback: timedelta | int) -> bool:
    """Whether rows of the run are in what the next increment reads."""
    if reached is None or manifest.watermark_high is None:
        return False
    return at_least(manifest.watermark_high, look_back(reached, lookback))


def _forget(storage: Storage, manifest: Manifest, needed: set[str], now: datetime) -> None:
    removed = [path for path in manifest.objects if path not in needed]
    # Recorded first: files missing without a record would look damaged.
    if removed and manifest.removed_at is None:
        replace_manifest(storage, manifest.model_copy(update={"removed_at": now}))
    for path in removed:
        storage.remove(path)
