"""Which months of a mart can have other rows now, by what the histories of its tables say. No Spark.

That the months of a mart can be made one by one is proved when its DAG is read (`marts.partitions`).
Whatever the histories do not say exactly leads to the whole table, which is always right.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from millstream.lake import history
from millstream.lake.accounts import PartitionCounts, newest
from millstream.lake.history import MAINTENANCE, Commit, History, Snapshot
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
    lake_root: str,
    forced: bool = False,
) -> Rebuild:
    """What of `mart` is to be made of its tables at the versions `inputs`.

    `cut_by` gives for each of them the column of its months; None where it is not cut.
    """
    if forced:
        return Rebuild(None, "it was asked for with force")
    latest = newest(history.read(mart.table, lake_root).latest_by_partition())
    if latest is None:
        return Rebuild(None, f"{mart.table} is not published yet, or somebody has changed it since")
    if latest.code_version != mart.version:
        return Rebuild(None, f"{mart.file} has changed")
    rest = {table: latest.inputs.get(table, -1) for table in inputs}
    changed: set[str] = set()
    because = []
    for table, version in sorted(inputs.items()):
        read = history.read(TableRef.parse(table), lake_root)
        months, why = changed_months(read, rest[table], version, cut_by[table])
        if months is None:
            return Rebuild(None, why)
        if months and not _same_columns(read.table, lake_root, rest[table], version):
            return Rebuild(None, f"{table} has other columns")
        changed |= months
        because += [table] if months else []
    why = f"changed in {', '.join(because)}" if changed else "no row of its tables has changed"
    return Rebuild(tuple(sorted(changed)), why, rest)


def changed_months(read: History, since: int, until: int, column: str | None) -> tuple[set[str] | None, str]:
    """The months whose rows of `read`, cut by `column`, are others at version `until` than at `since`; None
    and why where its history does not say which."""
    later = [commit for commit in read.commits if since < commit.version <= until]
    if since > until or since < 0:
        return None, f"{read.table} is another table than before"
    if all(commit.operation in MAINTENANCE for commit in later):
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
    before = [commit for commit in read.commits if commit.version <= since]
    had, has = _rows(read, before), _rows(read, [*later, *before])
    if "table" in scopes:
        if not _is_accounted(before):
            return None, f"which months {read.table} had is not known: somebody had changed it"
        touched |= had.keys()
    if "rows" in scopes or WHOLE in touched:
        return None, f"{read.table} has changed, and its accounts do not say in which months"
    return {name for name in touched if had.get(name) != has.get(name)}, ""


def _rows(read: History, commits: Iterable[Commit]) -> dict[str, tuple[int, str]]:
    """Number and hash of the published rows of each month that has any, after these commits."""
    latest = History(read.table, tuple(commits)).latest_by_partition()
    return {name: _number_and_hash(counts) for name, (_, counts) in latest.items() if counts.written}


def _number_and_hash(counts: PartitionCounts) -> tuple[int, str]:
    return counts.written, counts.content_hash


def _is_accounted(commits: Iterable[Commit]) -> bool:
    """Whether accounts say of all rows which month they are of, after these commits, the newest first."""
    for commit in commits:
        if commit.account is not None and commit.account.scope == "table":
            return True
        if commit.is_foreign:
            return False
    return True


def _same_columns(table: TableRef, lake_root: str, *versions: int) -> bool:
    first, second = (history.snapshot(table.uri(lake_root), version) for version in versions)
    return _columns(first) == _columns(second)


def _columns(snapshot: Snapshot | None) -> list[tuple[str, object]]:
    return [(one["name"], one["type"]) for one in snapshot.schema["fields"]] if snapshot else []
