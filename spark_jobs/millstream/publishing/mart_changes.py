"""Which months of a mart can have other rows now, by what the histories of its tables say. No Spark.

That the months of a mart can be made one by one is proved when its DAG is read (`marts.partitions`).
Whatever the histories do not say exactly leads to the whole table, which is always right.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from millstream.lake import history
from millstream.lake.accounts import Account, PartitionCounts, newest
from millstream.lake.history import MAINTENANCE, Commit, Histories, History, Snapshot
from millstream.lake.tables import WHOLE, TableRef
from millstream.marts import Mart


@dataclass(frozen=True)
class Rebuild:
    """What of a mart is to be made.

    months: None for the whole table; none of them when no row can be another. why: in words. rest: the
    versions of its tables that the other months were made of.
    """

    months: tuple[str, ...] | None
    why: str
    rest: dict[str, int] = field(default_factory=dict)


WHOLE_TABLE = Rebuild(None, "it is not made by month")


def rebuild_of(
    mart: Mart,
    inputs: Mapping[str, int],
    cut_by: Mapping[str, str | None],
    suite_version: str,
    lake_root: str,
    forced: bool = False,
) -> Rebuild:
    """What of `mart` is to be made of its tables at the versions `inputs`, and judged by this suite.

    `cut_by` gives for each of them the column of its months; None where it is not cut.
    """
    if forced:
        return Rebuild(None, "it was asked for with force")
    published = history.read_both(mart.table, lake_root)
    latest = newest(published.table.latest_by_partition())
    if latest is None:
        return Rebuild(None, f"{mart.table} is not published yet, or somebody has changed it since")
    if latest.code_version != mart.version:
        return Rebuild(None, f"{mart.file} has changed")
    if latest.suite_version != suite_version:
        return Rebuild(None, "its suite has changed, by which the other months were judged")
    rest = {table: latest.inputs.get(table, -1) for table in inputs}
    changed, because = set[str](), list[str]()
    for table, version in sorted(inputs.items()):
        read = history.read(TableRef.parse(table), lake_root)
        months, why = changed_months(read, rest[table], version, cut_by[table], latest.committed)
        if months is None:
            return Rebuild(None, why)
        # Also where no month has others: hashes are of values in their order, whatever the columns are named.
        if _later(read, rest[table], version) and not _same_columns(
            read.table, lake_root, rest[table], version
        ):
            return Rebuild(None, f"{table} has other columns")
        changed |= months
        because += [table] if months else []
    if halves := _half_published(published):
        changed |= halves
        because.append("a publish that did not end")
    if WHOLE in changed:
        return Rebuild(None, f"{mart.table} has a publish that did not end")
    why = f"changed in {', '.join(because)}" if changed else "no row of its tables has changed"
    return Rebuild(tuple(sorted(changed)), why, rest)


def changed_months(
    read: History, since: int, until: int, column: str | None, made_at: datetime
) -> tuple[set[str] | None, str]:
    """The months whose rows of `read`, cut by `column`, are others at version `until` than at `since`, which
    was read for rows of `made_at`; None and why where its history does not say which."""
    origin = next((commit for commit in read.commits if commit.version == since), None)
    if origin is None or since > until or origin.made_at > made_at:
        return None, f"{read.table} is another table than before"
    later = _later(read, since, until)
    if not later:
        return set(), ""
    if column is None:
        return None, f"{read.table} has changed, which is not cut by months"
    if foreign := [commit for commit in later if commit.is_foreign]:
        return (
            None,
            f"somebody has changed {read.table}: {foreign[0].operation}, version {foreign[0].version}",
        )
    accounts = [commit.account for commit in later if commit.account is not None]
    scopes = {account.scope for account in accounts}
    touched = {name for account in accounts for name in account.partitions}
    if "rows" in scopes or WHOLE in touched:
        return None, f"{read.table} has changed, and its accounts do not say in which months"
    before = [commit for commit in read.commits if commit.version <= since]
    if not _says_all_months(before):
        if "table" in scopes:
            return None, f"which months {read.table} had is not known"
        return touched, ""
    had, has = _rows(read, before), _rows(read, [*later, *before])
    if "table" in scopes:
        touched |= had.keys()
    return {name for name in touched if had.get(name) != has.get(name)}, ""


def _later(read: History, since: int, until: int) -> list[Commit]:
    """The commits behind `since` up to `until` that are no maintenance, newest first."""
    later = (commit for commit in read.commits if since < commit.version <= until)
    return [commit for commit in later if commit.operation not in MAINTENANCE]


def _half_published(published: Histories) -> set[str]:
    """The months whose newest account is in the quarantine alone: their publish ended between its commits."""
    accounts = published.table.accounts

    def is_whole(account: Account) -> bool:
        same = (one for one in accounts if (one.run, one.sequence) == (account.run, account.sequence))
        return any(account.is_copy_of(one) for one in same)

    newest_of = published.quarantine.latest_by_partition()
    return {name for name, (account, _) in newest_of.items() if not is_whole(account)}


def _rows(read: History, commits: Iterable[Commit]) -> dict[str, tuple[int, str]]:
    """Number and hash of the published rows of each month that has any, after these commits."""
    latest = History(read.table, tuple(commits)).latest_by_partition()
    return {name: _number_and_hash(counts) for name, (_, counts) in latest.items() if counts.written}


def _number_and_hash(counts: PartitionCounts) -> tuple[int, str]:
    return counts.written, counts.content_hash


def _says_all_months(commits: Sequence[Commit]) -> bool:
    """Whether accounts say of every row which month it is of, after these commits, the newest first."""
    for commit in commits:
        if commit.account is not None:
            if commit.account.scope == "rows" or WHOLE in commit.account.partitions:
                return False
            if commit.account.scope == "table":
                return True
        elif commit.is_foreign:
            return False
    # A table that began with months.
    return bool(commits) and commits[-1].version == 0


def _same_columns(table: TableRef, lake_root: str, *versions: int) -> bool:
    first, second = (history.snapshot(table.uri(lake_root), version) for version in versions)
    return _columns(first) == _columns(second)


def _columns(snapshot: Snapshot | None) -> list[tuple[str, object]]:
    return [(one["name"], one["type"]) for one in snapshot.schema["fields"]] if snapshot else []
