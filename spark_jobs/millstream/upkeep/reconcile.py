"""Compares landing, tables, ledger and asset events, and says each difference in plain words.

    manifests ── the run published? ──▶ accounts in the commits ── sums, rows ──▶ tables
    (bytes as received?)                         └── an event for each? ───▶ asset events

Events are hints: a consumer compares versions and reads everything since its own last run. So a doubled
event costs one run that does nothing, and any later event replaces a lost one. Only the newest publish of a
table can be unknown to its consumers, and only that event is repaired.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from millstream.lake import history
from millstream.lake.accounts import Account
from millstream.lake.history import Commit, Histories, History
from millstream.lake.inventory import tables
from millstream.lake.log_entries import partitions_changed
from millstream.lake.storage import Storage
from millstream.lake.tables import WHOLE, TableRef
from millstream.landing.manifest import Manifest, damaged_files, manifests_of, run_key

# What a difference asks for: to be known, an event that tells the readers, or a person.
Remedy = Literal["none", "event", "person"]
# What mends a table that increments are merged into.
READ_AGAIN = "restore the version before it if nothing was published since, else run with full_refresh"


class Event(BaseModel):
    """One asset event as Airflow stores it: the version it is about and the run that emitted it."""

    model_config = ConfigDict(frozen=True)

    version: int | None = None
    changed: bool = True
    run: str | None = None

    @classmethod
    def of(cls, extra: Mapping[str, Any] | None, run: str | None) -> Event:
        fields = extra or {}
        return cls(version=fields.get("version"), changed=fields.get("changed", True), run=run)


class Difference(BaseModel):
    """One difference; `extra` is the event that would repair it."""

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
        deadlines: for each dataset how long a run may take; younger runs may still be active.
        events: for each table that has an asset, its events, oldest first.
    """
    storage = Storage(lake_root)
    history_of = history.reader(lake_root)
    differences: list[Difference] = []
    whole_reads: dict[str, set[str]] = {}
    for dataset, deadline in sorted(deadlines.items()):
        table = TableRef(zone="silver", name=dataset)
        manifests = manifests_of(storage, dataset)
        whole_reads[str(table)] = {manifest.key for manifest in manifests if manifest.watermark_low is None}
        differences += _landing(storage, manifests)
        differences += _unpublished(history_of(table), manifests, events.get(str(table), ()), now - deadline)
        differences += _rows_by_source(history_of(table), manifests)
    for table in tables(lake_root):
        both = Histories(history_of(table), history_of(table.quarantine))
        differences += _accounts(both, lake_root, whole_reads.get(str(table), set()))
        if str(table) in events:
            differences += _events(both.table, events[str(table)])
    return differences


def event_of(entry: Account) -> dict[str, Any]:
    """The content of an asset event that repairs a lost one."""
    return {
        "version": entry.version,
        "changed": True,
        "read": entry.read,
        "written": entry.written,
        "quarantined": entry.quarantined,
        "deduplicated": entry.deduplicated,
        "dropped": entry.dropped,
        "tombstones": entry.tombstones,
        "deleted": entry.deleted,
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
    published: History,
    manifests: list[Manifest],
    events: Sequence[Event],
    before: datetime,
) -> list[Difference]:
    """Runs that landed and did not publish, unless their rows were in the table already or later runs
    published the same partitions."""
    done = {account.run for account in published.accounts}
    done |= {run_key(event.run) for event in events if event.run}
    carried_out = [manifest for manifest in manifests if manifest.key in done]

    def covered(manifest: Manifest) -> bool:
        later = [other for other in carried_out if other.fetch_began > manifest.fetch_began]
        return bool(later) and set(manifest.partitions) <= {
            name for other in later for name in other.partitions
        }

    return [
        Difference(
            subject=str(published.table),
            text=f"run {manifest.run} landed {len(manifest.files)} files at "
            f"{manifest.fetch_began:%Y-%m-%d %H:%M} and was never published; see its quality_gate and "
            "publish",
            remedy="person",
        )
        for manifest in manifests
        if manifest.key not in done and manifest.fetch_began < before and not covered(manifest)
    ]


def _rows_by_source(published: History, manifests: list[Manifest]) -> list[Difference]:
    """Compares the rows that the extractor counted with those in the run's account; files have no counts."""
    newest: dict[str, Account] = {}
    for entry in published.accounts:
        # A replay's account may be of a part of what its run landed.
        if entry.replay is None:
            newest.setdefault(entry.run, entry)
    differences = []
    for manifest in manifests:
        rows = {file.path: file.rows for file in manifest.files}
        counts = [count for count in rows.values() if count is not None]
        account = newest.get(manifest.key)
        if account is None or len(counts) < len(rows) or sum(counts) == account.read:
            continue
        if account.fetch_began != manifest.fetch_began:
            # Landed once more since, and not published yet.
            continue
        text = f"run {manifest.run} landed {sum(counts)} rows and accounted for {account.read}"
        differences.append(Difference(subject=str(published.table), text=text, remedy="person"))
    return differences


def _accounts(both: Histories, lake_root: str, whole_reads: set[str]) -> list[Difference]:
    """Checks sums of accounts, commits without one, and numbers of rows, of the table and its quarantine.

    `whole_reads` are the runs that read the table's source from its start.
    """
    if not both.table.accounts:
        return []
    wrong = [
        f"version {entry.version}, {name}: {counts.read} rows were read, {counts.accounted} accounted for"
        for entry in both.table.accounts
        for name, counts in entry.partitions.items()
        if counts.read != counts.accounted
    ]
    table = both.table.table
    published = _Grounds(both.table, table, lake_root, whole_reads)
    wrong += published.foreign or published.rows("written")
    differences = [Difference(subject=str(table), text=text, remedy="person") for text in wrong]
    return differences + _quarantined(published, both.quarantine, lake_root, whole_reads)


def _quarantined(
    published: _Grounds, quarantine: History, lake_root: str, whole_reads: set[str]
) -> list[Difference]:
    """The same for the quarantine, whose commits have copies of the table's accounts."""
    kept = _Grounds(quarantine, published.table, lake_root, whole_reads)
    copies = quarantine.accounts_of(published.table)
    unknown = [
        f"should have {rows} rows of run {entry.run}, and has no account of it: publish that run again"
        for entry, rows in published.quarantined()
        if rows and not any(entry.is_copy_of(copy) for copy in copies)
    ]
    wrong = [*kept.foreign, *unknown] or kept.rows("quarantined")
    return [Difference(subject=str(quarantine.table), text=text, remedy="person") for text in wrong]


class _Grounds:
    """What the present rows of `place`, `table` or its quarantine, rest on.

    These are the newest accounts of all partitions, or of all runs where increments were merged, and
    changes by hand since. A change by hand no longer counts if a later publish has replaced its rows: of
    the whole table, of the same partitions, or of everything in the source, if it began to read afterwards.
    """

    def __init__(self, place: History, table: TableRef, lake_root: str, whole_reads: set[str]) -> None:
        self.table = table
        self._place = place
        self._lake_root = lake_root
        self._by_partition: dict[str, Account] = {}
        self._by_run: dict[str, Account] = {}
        self._foreign: list[tuple[Commit, set[str]]] = []
        read_again: datetime | None = None
        for commit in _without_undone(table, place.commits):
            if read_again is not None and commit.made_at < read_again:
                break
            entry = commit.account
            if entry is None or entry.table != str(table):
                self._note(commit)
            elif entry.scope == "rows":
                self._by_run.setdefault(entry.run, entry)
                if entry.run in whole_reads and entry.replay is None:
                    read_again = max(filter(None, (read_again, entry.fetch_began)), default=None)
            else:
                for name in entry.partitions:
                    self._by_partition.setdefault(name, entry)
                if entry.scope == "table":
                    break

    def _note(self, commit: Commit) -> None:
        if commit.is_foreign:
            changed = partitions_changed(self._place.table, self._lake_root, commit.version)
            if changed := changed - set(self._by_partition):
                self._foreign.append((commit, changed))

    @property
    def foreign(self) -> list[str]:
        """Commits that were no publish, each with its remedy."""
        return [
            f"version {commit.version} was made by {commit.operation}, not by a publish: "
            + (READ_AGAIN if self._by_run else _publish_again(changed))
            for commit, changed in self._foreign
        ]

    def rows(self, count: Literal["written", "quarantined"]) -> list[str]:
        """Compares the number of rows with the accounts; an increment's is about its run, not about all
        rows, but what streams have only added must all be there."""
        if self._place.now is None:
            return []
        if self._by_run:
            added = [entry for entry in self._by_run.values() if entry.offsets and not entry.inputs]
            if count == "quarantined" or len(added) < len(self._by_run):
                return []
            expected = sum(entry.written for entry in added)
        else:
            expected = sum(
                getattr(entry.partitions[name], count) for name, entry in self._by_partition.items()
            )
        # Of the version whose history was read: a publish may have been committed since.
        rows = self._place.now.count()
        return [] if rows == expected else [f"has {rows} rows, its accounts say {expected}"]

    def quarantined(self) -> list[tuple[Account, int]]:
        """Each account with its quarantined rows, without partitions that have a newer account."""
        by_version = {entry.version: (entry, entry.quarantined) for entry in self._by_run.values()}
        for name, entry in self._by_partition.items():
            if entry.run not in self._by_run:
                _, before = by_version.get(entry.version, (entry, 0))
                by_version[entry.version] = (entry, before + entry.partitions[name].quarantined)
        return list(by_version.values())


def _without_undone(table: TableRef, commits: Sequence[Commit]) -> Iterator[Commit]:
    """The commits without restores and what these have undone, unless that includes a publish."""
    kept = iter(commits)
    for commit in kept:
        if commit.restored is None:
            yield commit
            continue
        undone = tuple(earlier for earlier in commits if commit.restored < earlier.version < commit.version)
        if history.accounts_of(table, undone):
            yield commit
        else:
            list(islice(kept, len(undone)))


def _publish_again(partitions: set[str]) -> str:
    return "publish it again" if WHOLE in partitions else f"publish {', '.join(sorted(partitions))} again"


def _events(published: History, events: Sequence[Event]) -> list[Difference]:
    table = published.table
    accounts = {entry.version: entry for entry in published.accounts if entry.version is not None}
    announced = Counter(event.version for event in events if event.version is not None and event.changed)
    if not accounts:
        return []
    known = {event.version for event in events if event.version is not None}
    newest, present = max(accounts), published.version or 0
    differences = []
    for version in sorted(version for version in accounts if version not in known):
        text = (
            f"version {version} was published by run {accounts[version].run}, and Airflow has no event of it"
        )
        if version == newest and not any(version < later <= present for later in known):
            extra = event_of(accounts[version])
            differences.append(
                Difference(
                    subject=str(table),
                    text=f"{text}: its consumers do not know it",
                    remedy="event",
                    extra=extra,
                )
            )
        elif version > min(known, default=newest):
            differences.append(
                Difference(
                    subject=str(table),
                    text=f"{text}; a later event has informed its consumers",
                    remedy="none",
                )
            )
    for version in sorted(version for version in known if version > present):
        text = f"Airflow has an event of version {version}, the table ends with {present}: was it restored?"
        differences.append(Difference(subject=str(table), text=text, remedy="person"))
    for version, times in sorted(announced.items()):
        if times > 1:
            text = f"version {version} has {times} events; its consumers find nothing new and skip"
            differences.append(Difference(subject=str(table), text=text, remedy="none"))
    return differences
