"""A table's Delta log, read once: its commits with their accounts, and what the table is now. Asks no Spark.

The one module that imports deltalake. What has been read is data: everything that is asked of it later
(`History`) opens no log again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from millstream.lake.accounts import Account, PartitionCounts, account_in
from millstream.lake.tables import TableRef

if TYPE_CHECKING:
    from deltalake import DeltaTable

# Delta operations of maintenance: the same rows in other files, or other properties.
MAINTENANCE = frozenset(
    ("OPTIMIZE", "VACUUM START", "VACUUM END", "SET TBLPROPERTIES", "ADD CONSTRAINT", "DROP CONSTRAINT")
)
# Those by which publishing makes a table, or gives it the columns that it lacks.
DEFINITION = frozenset({"CREATE TABLE", "ADD COLUMNS"})
RESTORE = "RESTORE"

Accounts = Mapping[str, tuple[Account, PartitionCounts]]


@dataclass(frozen=True)
class Commit:
    """One commit of a table, as its log has it. `restored` is the version that a restore went back to."""

    version: int
    operation: str | None
    milliseconds: int
    metadata: str = ""
    predicate: str | None = None
    restored: int | None = None
    mode: str | None = None

    @property
    def made_at(self) -> datetime:
        return datetime.fromtimestamp(self.milliseconds / 1000, UTC)

    @cached_property
    def account(self) -> Account | None:
        """The account that it carries, if any; a table's quarantine carries copies of the table's."""
        return account_in(
            self.metadata,
            version=self.version,
            operation=self.operation,
            committed_at=str(self.milliseconds),
            condition=self.predicate,
            mode=self.mode,
        )

    @property
    def is_foreign(self) -> bool:
        """Whether it was neither a publish, nor maintenance, nor what makes a table.

        An operation that is not known counts as foreign.
        """
        return self.account is None and self.operation not in MAINTENANCE | DEFINITION


@dataclass(frozen=True)
class Snapshot:
    """What a table is at one version, from its log; no data file is opened but for rows."""

    _delta: DeltaTable = field(repr=False)

    @property
    def version(self) -> int:
        return self._delta.version()

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The schema as Delta writes it."""
        return dict(json.loads(self._delta.schema().to_json()))

    @cached_property
    def column_names(self) -> list[str]:
        return [column["name"] for column in self.schema["fields"]]

    @cached_property
    def partition_columns(self) -> list[str]:
        return list(self._delta.metadata().partition_columns)

    @cached_property
    def properties(self) -> dict[str, str]:
        return dict(self._delta.metadata().configuration)

    def files(self) -> set[str]:
        """Addresses of the data files."""
        return set(self._delta.file_uris())

    def count(self) -> int:
        """The rows, by the files."""
        return int(self._delta.count())

    def dataset(self) -> Any:
        """Its rows as a dataset of Arrow's."""
        return self._delta.to_pyarrow_dataset()

    def value_counts(self, column: str) -> dict[Any, int]:
        """How many rows have each value of `column`, and null; reads it from the files."""
        counts: Counter[Any] = Counter()
        for batch in self.dataset().to_batches(columns=[column]):
            counts.update(
                {one["values"]: one["counts"] for one in batch.column(0).value_counts().to_pylist()}
            )
        return counts

    def noted_rows(self) -> int | None:
        """The rows, where the log counts them; `DeltaTable.count` takes a missing count for 0."""
        import pyarrow as pa

        # A file's count includes the rows that a deletion vector marks as deleted.
        if "deletionVectors" in (self._delta.protocol().reader_features or ()):
            return None
        counts = pa.table(self._delta.get_add_actions(flatten=True))["num_records"].to_pylist()
        return None if None in counts else sum(counts)


@dataclass(frozen=True)
class History:
    """A table's commits, newest first, and what it is now; no commits where there is no such table."""

    table: TableRef
    commits: tuple[Commit, ...] = ()
    now: Snapshot | None = None

    @property
    def version(self) -> int | None:
        """The table's present version; None when there is no such table."""
        return self.commits[0].version if self.commits else None

    @property
    def published_version(self) -> int | None:
        """The version at which to read a published table; None before its first publish.

        A table is created empty, one commit before its first rows: whoever read that version would take it
        for a source that has nothing.
        """
        return self.version if any(commit.account for commit in self.commits) else None

    @cached_property
    def accounts(self) -> list[Account]:
        """The table's own accounts, newest first."""
        return self.accounts_of(self.table)

    def accounts_of(self, table: TableRef) -> list[Account]:
        """The accounts of `table` among the commits: its own, or in its quarantine's the copies."""
        return accounts_of(table, self.commits)

    def unchanged_since(self, version: int | None) -> bool:
        """Whether the rows are still those of `version`: maintenance makes versions of its own."""
        if version is None or self.version is None or version > self.version:
            return False
        later = (commit for commit in self.commits if commit.version > version)
        return all(commit.operation in MAINTENANCE for commit in later)

    def latest_by_partition(self, run: str | None = None) -> Accounts:
        """For each partition the newest account of it, or the newest of `run`.

        Goes back no further than the last change that was not a publish (a restore, a delete by hand), nor
        than the last publish of the whole table: what was accounted for before may no longer be there.
        """
        newest: dict[str, tuple[Account, PartitionCounts]] = {}
        for commit in self.commits:
            account = commit.account
            if account is None:
                if commit.is_foreign:
                    break
                continue
            if run in (None, account.run):
                for name, counts in account.partitions.items():
                    newest.setdefault(name, (account, counts))
            if run is None and account.scope == "table":
                break
        return newest

    @cached_property
    def standing(self) -> list[Account]:
        """The table's accounts that no restore has undone, newest first."""
        return self.standing_of(self.table)

    def standing_of(self, table: TableRef) -> list[Account]:
        """The accounts of `table` among the commits that no restore has undone, newest first."""
        return accounts_of(table, self._not_undone())

    @property
    def watermark(self) -> str | None:
        """How far the table's source has been read: the newest watermark that a publish carried."""
        return next((account.watermark for account in self.standing if account.watermark), None)

    def _not_undone(self) -> Iterator[Commit]:
        commits = list(self.commits)
        while commits:
            commit = commits.pop(0)
            yield commit
            if commit.operation == RESTORE:
                # Of one to a time of day the version is not noted: nothing before it is known to stand.
                kept = -1 if commit.restored is None else commit.restored
                commits = [commit for commit in commits if commit.version <= kept]


@dataclass(frozen=True)
class Histories:
    """A table's history and its quarantine's: a publish commits to both, and may have ended between them."""

    table: History
    quarantine: History

    @property
    def committed(self) -> list[Account]:
        """The accounts in both."""
        commits = (*self.table.commits, *self.quarantine.commits)
        return [commit.account for commit in commits if commit.account is not None]

    def next_sequence(self, started: datetime) -> int:
        """What orders an attempt to publish behind all that have committed: its start, in milliseconds.

        Where the clock has been set back since, the number after theirs.
        """
        newest = max((account.sequence for account in self.committed), default=0)
        return max(int(started.timestamp() * 1000), newest + 1)


def read(table: TableRef, lake_root: str, limit: int | None = None) -> History:
    """The table's history, or the newest `limit` commits of it."""
    delta = _open(table.uri(lake_root))
    if delta is None:
        return History(table)
    while True:
        opened = delta.version()
        commits = _commits(delta, limit)
        # deltalake lists the log anew for its history, and numbers what it finds down from the version that
        # it had opened: a commit in between gives every number to the commit before.
        delta.update_incremental()
        if delta.version() == opened:
            return History(table, commits, Snapshot(delta))


def read_both(table: TableRef, lake_root: str) -> Histories:
    return Histories(read(table, lake_root), read(table.quarantine, lake_root))


def reader(lake_root: str) -> Callable[[TableRef], History]:
    """Reads histories, that of each table once, for who asks several things of many tables."""
    seen: dict[TableRef, History] = {}

    def of(table: TableRef) -> History:
        if table not in seen:
            seen[table] = read(table, lake_root)
        return seen[table]

    return of


def version(table: TableRef, lake_root: str) -> int | None:
    """The table's present version; None when there is no such table."""
    delta = _open(table.uri(lake_root))
    return None if delta is None else delta.version()


def exists(uri: str) -> bool:
    """Whether there is a Delta table at `uri`."""
    from deltalake import DeltaTable

    return bool(DeltaTable.is_deltatable(uri))


def snapshot(uri: str, version: int | None = None) -> Snapshot | None:
    """The table at `uri` as it is, or was at `version`; None when there is no table."""
    delta = _open(uri, version)
    return None if delta is None else Snapshot(delta)


def newest_commits(uri: str, limit: int) -> tuple[Commit, ...]:
    """The newest commits at `uri`, newest first; none when there is no table."""
    delta = _open(uri)
    return () if delta is None else _commits(delta, limit)


def files_at(table: TableRef, lake_root: str, version: int) -> set[str] | None:
    """Addresses of the data files that `version` reads; None when the log no longer has it.

    Raises: whatever keeps a version that is in the log from being read.
    """
    from deltalake.exceptions import DeltaProtocolError

    uri = table.uri(lake_root)
    try:
        present = snapshot(uri, version)
    except DeltaProtocolError:
        raise
    except log_error():
        if version in {commit.version for commit in read(table, lake_root).commits}:
            raise
        return None
    return None if present is None else present.files()


def log_error() -> type[Exception]:
    """What is raised for a log that cannot be read."""
    from deltalake.exceptions import DeltaError

    return DeltaError


def accounts_of(table: TableRef, commits: Iterable[Commit]) -> list[Account]:
    """The accounts of `table` among `commits`."""
    accounts = (commit.account for commit in commits)
    return [account for account in accounts if account is not None and account.table == str(table)]


def _open(uri: str, version: int | None = None) -> DeltaTable | None:
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    try:
        return DeltaTable(uri, version=version)
    except TableNotFoundError:
        return None


def _commits(delta: DeltaTable, limit: int | None) -> tuple[Commit, ...]:
    return tuple(map(_commit, delta.history(limit)))


def _commit(entry: dict[str, Any]) -> Commit:
    parameters = entry.get("operationParameters") or {}
    restored = parameters.get("version") if entry.get("operation") == RESTORE else None
    return Commit(
        version=entry["version"],
        operation=entry.get("operation"),
        milliseconds=int(entry.get("timestamp") or 0),
        metadata=entry.get("userMetadata") or "",
        predicate=parameters.get("predicate"),
        restored=None if restored is None else int(restored),
        mode=parameters.get("mode"),
    )
