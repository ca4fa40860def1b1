"""Do sources, landing, tables, ledger and asset events tell the same story? Each difference in plain words.

    manifests ── the run published? ──▶ accounts in the commits ── sums, rows ──▶ tables
    (bytes as received?)                         └── told to their readers? ──▶ asset events

Events are hints: a consumer compares versions and reads everything since its own last run. So a doubled event
costs one run that does nothing, and a lost one is healed by any later event. Only the newest publish of a
table can be unknown to its readers, and that is what a repair tells them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from deltalake import DeltaTable
from pydantic import BaseModel, ConfigDict

from millstream import ledger
from millstream.lake.inventory import tables
from millstream.lake.storage import Storage
from millstream.lake.tables import TableRef
from millstream.landing import Manifest, damaged_files, manifests_of, run_key

# What a difference asks for: to be known, an event that tells the readers, or a person.
Remedy = Literal["none", "event", "person"]


class Event(BaseModel):
    """One asset event as Airflow keeps it: the version it tells of and the run it came from."""

    model_config = ConfigDict(frozen=True)

    version: int | None = None
    changed: bool = True
    run: str | None = None

    @classmethod
    def of(cls, extra: Mapping[str, Any] | None, run: str | None) -> Event:
        told = extra or {}
        return cls(version=told.get("version"), changed=told.get("changed", True), run=run)


class Difference(BaseModel):
    """One thing that does not agree; `extra` is the event that would repair it."""

    model_config = ConfigDict(frozen=True)

    subject: str
    text: str
    remedy: Remedy
    extra: dict[str, Any] | None = None

    def __str__(self) -> str:
        return f"{self.subject}: {self.text}"


def compare(
    lake_root: str,
    deadlines: Mapping[str, timedelta],
    events: Mapping[str, Sequence[Event]],
    now: datetime,
) -> list[Difference]:
    """Every difference.

    Args:
        deadlines: for each dataset how long a run may take; younger manifests may still be under way.
        events: for each table that has an asset its events, oldest first.
    """
    storage = Storage(lake_root)
    found: list[Difference] = []
    for dataset, deadline in sorted(deadlines.items()):
        table = TableRef(zone="silver", name=dataset)
        manifests = manifests_of(storage, dataset)
        found += _landing(storage, manifests)
        found += _unpublished(table, lake_root, manifests, events.get(str(table), ()), now - deadline)
        found += _rows_by_source(table, lake_root, manifests)
    for table in tables(lake_root):
        found += _accounts(table, lake_root)
        if str(table) in events:
            found += _events(table, lake_root, events[str(table)])
    return found


def event_of(entry: ledger.Entry) -> dict[str, Any]:
    """What an asset event says of a publish, told again."""
    return {
        "version": entry.version,
        "changed": True,
        "read": entry.read,
        "written": entry.written,
        "quarantined": entry.quarantined,
        "deduplicated": entry.deduplicated,
        "dropped": entry.dropped,
        "accepted": entry.accepted,
        "verdict": entry.verdict,
        "repaired": True,
    }


def _landing(storage: Storage, manifests: list[Manifest]) -> list[Difference]:
    kept = [manifest for manifest in manifests if manifest.removed_at is None]
    landed_by = {path: manifest.run for manifest in kept for path in manifest.paths}
    return [
        Difference(
            subject=path,
            text=f"missing, or not as run {landed_by[path]} received it; clear extract of that run to fetch "
            "it again",
            remedy="person",
        )
        for path in damaged_files(storage, [file for manifest in kept for file in manifest.files])
    ]


def _unpublished(
    table: TableRef,
    lake_root: str,
    manifests: list[Manifest],
    events: Sequence[Event],
    before: datetime,
) -> list[Difference]:
    """Runs that landed and neither published, nor found their rows in the table already, nor were followed
    by a run that published the same partitions."""
    done = {entry.run for entry in ledger.entries(table, lake_root)}
    done |= {run_key(event.run) for event in events if event.run}
    published = [manifest for manifest in manifests if manifest.key in done]

    def covered(manifest: Manifest) -> bool:
        return any(
            later.created_at > manifest.created_at and set(manifest.partitions) <= set(later.partitions)
            for later in published
        )

    return [
        Difference(
            subject=str(table),
            text=f"run {manifest.run} landed {len(manifest.files)} files at "
            f"{manifest.created_at:%Y-%m-%d %H:%M} and was never published; see its quality_gate and publish",
            remedy="person",
        )
        for manifest in manifests
        if manifest.key not in done and manifest.created_at < before and not covered(manifest)
    ]


def _rows_by_source(table: TableRef, lake_root: str, manifests: list[Manifest]) -> list[Difference]:
    """Rows that the extractor counted against rows that the run accounted for; files are not counted."""
    newest: dict[str, ledger.Entry] = {}
    for entry in ledger.entries(table, lake_root):
        # A replay's account may be of a part of what its run landed.
        if entry.replay is None:
            newest.setdefault(entry.run, entry)
    found = []
    for manifest in manifests:
        rows = {file.path: file.rows for file in manifest.files}
        counts = [count for count in rows.values() if count is not None]
        account = newest.get(manifest.key)
        if account is None or len(counts) < len(rows) or sum(counts) == account.read:
            continue
        text = f"run {manifest.run} landed {sum(counts)} rows and accounted for {account.read}"
        found.append(Difference(subject=str(table), text=text, remedy="person"))
    return found


def _accounts(table: TableRef, lake_root: str) -> list[Difference]:
    """Sums of every account, commits without one, and the table's own rows."""
    accounts = ledger.entries(table, lake_root)
    if not accounts:
        return []
    wrong = [
        f"version {entry.version}, {name}: {counts.read} rows were read, {counts.accounted} accounted for"
        for entry in accounts
        for name, counts in entry.partitions.items()
        if counts.read != counts.accounted
    ]
    newest = accounts[0].version or 0
    foreign = [
        f"version {commit['version']} was made by {commit['operation']}, not by a publish"
        for commit in ledger.history(table, lake_root)
        if commit["version"] > newest and commit.get("operation") in ledger.CONTENT_CHANGES
    ]
    if not foreign:
        wrong += _rows(table, lake_root)
    return [Difference(subject=str(table), text=text, remedy="person") for text in [*wrong, *foreign]]


def _rows(table: TableRef, lake_root: str) -> list[str]:
    """The table's rows against its newest accounts; that of a merge is of its run, not of the table."""
    newest = ledger.latest_by_partition(table, lake_root).values()
    if any(entry.operation != "WRITE" for entry, _ in newest):
        return []
    expected = sum(counts.written for _, counts in newest)
    rows = DeltaTable(table.uri(lake_root)).count()
    return [] if rows == expected else [f"has {rows} rows, its accounts say {expected}"]


def _events(table: TableRef, lake_root: str, events: Sequence[Event]) -> list[Difference]:
    accounts = {
        entry.version: entry for entry in ledger.entries(table, lake_root) if entry.version is not None
    }
    told = Counter(event.version for event in events if event.version is not None and event.changed)
    if not accounts:
        return []
    known = {event.version for event in events if event.version is not None}
    newest, present = max(accounts), ledger.version(table, lake_root) or 0
    found = []
    for version in sorted(version for version in accounts if version not in known):
        text = (
            f"version {version} was published by run {accounts[version].run}, and Airflow has no event of it"
        )
        if version == newest and not any(version < later <= present for later in known):
            extra = event_of(accounts[version])
            found.append(
                Difference(
                    subject=str(table), text=f"{text}: its readers were not told", remedy="event", extra=extra
                )
            )
        elif version > min(known, default=newest):
            found.append(
                Difference(
                    subject=str(table), text=f"{text}; a later event has told its readers", remedy="none"
                )
            )
    for version in sorted(version for version in known if version > present):
        text = f"Airflow has an event of version {version}, the table ends with {present}: was it restored?"
        found.append(Difference(subject=str(table), text=text, remedy="person"))
    for version, times in sorted(told.items()):
        if times > 1:
            text = f"version {version} was told {times} times; its readers find nothing new and do nothing"
            found.append(Difference(subject=str(table), text=text, remedy="none"))
    return found
