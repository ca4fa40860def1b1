"""The ledger: each publishing commit of a table carries its own account, in the commit itself.

Counts and run id ride in the Delta commit's `userMetadata`, so they are written with the data or not at
all. They are read back here from the table's history, without Spark.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from millstream.contracts.drift import Change
from millstream.errors import ConservationError
from millstream.lake.storage import Storage
from millstream.lake.tables import WHOLE, TableRef

# Delta operations of maintenance: the same rows in other files, or other properties.
MAINTENANCE = frozenset(
    {
        "OPTIMIZE",
        "VACUUM START",
        "VACUUM END",
        "SET TBLPROPERTIES",
        "ADD CONSTRAINT",
        "DROP CONSTRAINT",
    }
)
# Those by which publishing makes a table, or gives it the columns that it lacks.
DEFINITION = frozenset({"CREATE TABLE", "ADD COLUMNS"})

# Fields of an account that are not in it, but in the commit around it.
READ_BACK = {"version", "operation", "committed_at", "condition"}
# What of its table a publish has put its rows in the place of.
Scope = Literal["table", "partitions", "rows"]


class PartitionCounts(BaseModel):
    """What one run did to one partition (`all` for a whole table); counts are rows by source row id."""

    read: int
    written: int
    quarantined: int
    deduplicated: int
    dropped: int = Field(default=0, description="a person decided that they are published nowhere")
    late: int = Field(default=0, description="came after their window had closed; none in a batch")
    accepted: int = Field(default=0, description="of the written, those broken and accepted by a person")
    content_hash: str = Field(description="order-independent hash of the published rows")
    quarantine_hash: str = Field(default="0", description="the same of the quarantined rows")

    @property
    def accounted(self) -> int:
        return self.written + self.quarantined + self.deduplicated + self.dropped + self.late


class Entry(BaseModel):
    """One run's account of one table."""

    model_config = ConfigDict(extra="ignore")

    kind: str = "millstream.publish"
    table: str
    run: str
    partitions: dict[str, PartitionCounts]
    verdict: dict[str, Any] = Field(description="summary of the quality gate's verdict")
    inputs: dict[str, int] = Field(default_factory=dict, description="input table -> Delta version")
    contract_version: int | None = None
    suite_version: str
    code_version: str
    watermark: str | None = None
    fetch_began: datetime | None = Field(default=None, description="when the run began to fetch")
    contract: dict[str, Any] | None = Field(default=None, description="Contract.schema_in_short()")
    drift: tuple[Change, ...] = Field(default=(), description="what had changed at the source")
    replay: str | None = Field(default=None, description="run that published the rows of `run` once more")
    sequence: int = Field(default=0, description="of two attempts at the same partitions the higher stays")
    # Known only once read back from the table's history.
    version: int | None = None
    operation: str | None = None
    committed_at: str | None = None
    condition: str | None = Field(default=None, description="which rows the commit has replaced")

    @property
    def scope(self) -> Scope:
        """What the publish has replaced; known once read back.

        An increment counts under the whole table, and replaces only rows: of its keys, or of its run.
        """
        if self.operation == "MERGE" or (self.condition and WHOLE in self.partitions):
            return "rows"
        return "partitions" if self.condition else "table"

    def is_copy_of(self, other: Entry) -> bool:
        """Whether both are the account of one publish, that of a table and that of its quarantine."""
        return self.model_dump(exclude=READ_BACK) == other.model_dump(exclude=READ_BACK)

    @property
    def read(self) -> int:
        return sum(counts.read for counts in self.partitions.values())

    @property
    def written(self) -> int:
        return sum(counts.written for counts in self.partitions.values())

    @property
    def quarantined(self) -> int:
        return sum(counts.quarantined for counts in self.partitions.values())

    @property
    def deduplicated(self) -> int:
        return sum(counts.deduplicated for counts in self.partitions.values())

    @property
    def dropped(self) -> int:
        return sum(counts.dropped for counts in self.partitions.values())

    @property
    def accepted(self) -> int:
        return sum(counts.accepted for counts in self.partitions.values())

    @property
    def late(self) -> int:
        return sum(counts.late for counts in self.partitions.values())

    @property
    def committed(self) -> datetime:
        """When the commit was made; known once read back."""
        return datetime.fromtimestamp(int(self.committed_at or 0) / 1000, UTC)

    def check_conservation(self, rows_read: int) -> None:
        """Raise ConservationError unless every one of `rows_read` source rows is accounted for."""
        accounted = sum(counts.accounted for counts in self.partitions.values())
        if not rows_read == self.read == accounted:
            raise ConservationError(
                f"{self.table}: {rows_read} rows were read from the source but written {self.written} + "
                f"quarantined {self.quarantined} + deduplicated {self.deduplicated} + dropped "
                f"{self.dropped} + late {self.late} = {accounted}. "
                "Nothing was published; the staged table is kept for inspection"
            )


def version(table: TableRef, lake_root: str) -> int | None:
    """The table's present Delta version; None when there is no such table."""
    delta = _open(table, lake_root)
    return None if delta is None else int(delta.version())


def published_version(table: TableRef, lake_root: str) -> int | None:
    """The version at which to read a published table; None before its first publish.

    A table is created empty, one commit before its first rows: whoever read that version would take it for a
    source that has nothing.
    """
    delta = _open(table, lake_root)
    if delta is None or not any(_entry(commit) for commit in delta.history()):
        return None
    return int(delta.version())


def history(table: TableRef, lake_root: str, limit: int | None = None) -> list[dict[str, Any]]:
    """The table's commits, newest first; empty when there is no such table."""
    delta = _open(table, lake_root)
    return [] if delta is None else list(delta.history(limit))


def unchanged_since(table: TableRef, lake_root: str, version: int | None) -> bool:
    """Whether the table's rows are still those of `version`: maintenance makes versions of its own."""
    commits = history(table, lake_root)
    if version is None or not commits or version > commits[0]["version"]:
        return False
    later = (commit for commit in commits if commit["version"] > version)
    return all(commit.get("operation") in MAINTENANCE for commit in later)


def entries(table: TableRef, lake_root: str, limit: int | None = None) -> list[Entry]:
    """The table's accounts, newest first; empty when there is no such table."""
    return accounts_of(table, history(table, lake_root, limit))


def accounts_of(table: TableRef, commits: Iterable[dict[str, Any]]) -> list[Entry]:
    """The accounts of `table` among `commits`: of the table's own history, or of its quarantine's."""
    return [entry for commit in commits if (entry := account_of(table, commit)) is not None]


def account_of(table: TableRef, commit: dict[str, Any]) -> Entry | None:
    """The account of `table` that a commit carries, if any."""
    entry = _entry(commit)
    # A table's quarantine carries a copy of the account.
    return entry if entry is not None and entry.table == str(table) else None


def is_foreign(commit: dict[str, Any]) -> bool:
    """Whether a commit was neither a publish, nor maintenance, nor what makes a table.

    An operation that is not known counts as foreign.
    """
    return _entry(commit) is None and commit.get("operation") not in MAINTENANCE | DEFINITION


def partitions_changed(table: TableRef, lake_root: str, version: int) -> set[str]:
    """The partitions in which the commit of `version` has changed rows, by its entry in the table's log.

    `all` is among them when the table is not cut by one column, or the log does not say.
    """
    path = f"{table.zone}/{table.name}/_delta_log/{version:020}.json"
    storage = Storage(lake_root)
    if not storage.exists(path):
        return {WHOLE}
    actions = [json.loads(line) for line in storage.read(path).splitlines() if line.strip()]
    files = (action.get("add") or action.get("remove") for action in actions)
    return {_partition(file) for file in files if file and file.get("dataChange", True)}


def _partition(file: dict[str, Any]) -> str:
    values = list((file.get("partitionValues") or {}).values())
    return str(values[0]) if len(values) == 1 and values[0] is not None else WHOLE


def latest_by_partition(
    table: TableRef, lake_root: str, run: str | None = None
) -> dict[str, tuple[Entry, PartitionCounts]]:
    """For each partition the newest account of it, or the newest of `run`.

    Goes back no further than the last change that was not a publish (a restore, a delete by hand), nor than
    the last publish of the whole table: what was accounted for before them may no longer be there.
    """
    newest: dict[str, tuple[Entry, PartitionCounts]] = {}
    for commit in history(table, lake_root):
        entry = _entry(commit)
        if entry is None:
            if is_foreign(commit):
                break
            continue
        if run in (None, entry.run):
            for name, counts in entry.partitions.items():
                newest.setdefault(name, (entry, counts))
        if run is None and entry.scope == "table":
            break
    return newest


def without_undone(table: TableRef, commits: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """`commits`, newest first, but for those that a restore has undone."""
    commits = list(commits)
    while commits:
        commit = commits.pop(0)
        yield commit
        if commit.get("operation") == "RESTORE":
            commits = [one for one in commits if _is_kept(one, commit)]


def _is_kept(commit: dict[str, Any], restore: dict[str, Any]) -> bool:
    # Of one to a time of day the version is not noted: nothing before it is known to stand.
    version = (restore.get("operationParameters") or {}).get("version")
    return version is not None and bool(commit["version"] <= int(version))


def standing(table: TableRef, lake_root: str) -> list[Entry]:
    """The accounts that no restore of the table has undone, newest first."""
    return accounts_of(table, without_undone(table, history(table, lake_root)))


def next_sequence(table: TableRef, lake_root: str, started: datetime) -> int:
    """What orders an attempt to publish `table` behind all that have committed: its start, in milliseconds.

    Where the clock has been set back since, the number after theirs.
    """
    newest = max((entry.sequence for entry in committed(table, lake_root)), default=0)
    return max(int(started.timestamp() * 1000), newest + 1)


def committed(table: TableRef, lake_root: str) -> list[Entry]:
    """The accounts in the table's commits and in its quarantine's: a publish may have ended between them."""
    commits = (*history(table, lake_root), *history(table.quarantine, lake_root))
    return [entry for entry in map(_entry, commits) if entry is not None]


def watermark(table: TableRef, lake_root: str) -> str | None:
    """How far the source of `table` has been read: the newest watermark that a publish carried."""
    return next((entry.watermark for entry in standing(table, lake_root) if entry.watermark), None)


def _open(table: TableRef, lake_root: str) -> Any:
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    try:
        return DeltaTable(table.uri(lake_root))
    except TableNotFoundError:
        return None


def _entry(commit: dict[str, Any]) -> Entry | None:
    try:
        data = json.loads(commit.get("userMetadata") or "")
    except ValueError:
        return None
    if not isinstance(data, dict) or data.get("kind") != "millstream.publish":
        return None
    return Entry.model_validate(
        {
            **data,
            "version": commit.get("version"),
            "operation": commit.get("operation"),
            "committed_at": str(commit.get("timestamp")),
            "condition": (commit.get("operationParameters") or {}).get("predicate"),
        }
    )
