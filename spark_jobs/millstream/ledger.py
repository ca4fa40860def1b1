"""The ledger: each publishing commit of a table carries its own account, in the commit itself.

Counts and run id ride in the Delta commit's `userMetadata`, so they are written with the data or not at
all. They are read back here from the table's history, without Spark.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from millstream.errors import ConservationError
from millstream.lake.tables import TableRef

# Delta operations that change rows. OPTIMIZE, VACUUM and changes of properties do not.
CONTENT_CHANGES = frozenset({"WRITE", "MERGE", "DELETE", "UPDATE", "RESTORE", "TRUNCATE", "STREAMING UPDATE"})


class PartitionCounts(BaseModel):
    """What one run did to one partition (`all` for a whole table); counts are rows by source row id."""

    read: int
    written: int
    quarantined: int
    deduplicated: int
    content_hash: str = Field(description="order-independent hash of the published rows")
    quarantine_hash: str = Field(default="0", description="the same of the quarantined rows")


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
    # Known only once read back from the table's history.
    version: int | None = None
    committed_at: str | None = None

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

    def check_conservation(self, rows_read: int) -> None:
        """Raise ConservationError unless every one of `rows_read` source rows is accounted for."""
        accounted = self.written + self.quarantined + self.deduplicated
        if not rows_read == self.read == accounted:
            raise ConservationError(
                f"{self.table}: {rows_read} rows were read from the source but written {self.written} + "
                f"quarantined {self.quarantined} + deduplicated {self.deduplicated} = {accounted}. "
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


def entries(table: TableRef, lake_root: str, limit: int | None = None) -> list[Entry]:
    """The table's accounts, newest first; empty when there is no such table."""
    delta = _open(table, lake_root)
    if delta is None:
        return []
    found = (_entry(commit) for commit in delta.history(limit))
    return [entry for entry in found if entry is not None]


def latest_by_partition(table: TableRef, lake_root: str) -> dict[str, tuple[Entry, PartitionCounts]]:
    """For each partition the newest account of it.

    Goes back no further than the last change that was not a publish (a restore, a delete by hand): what
    was accounted for before it may no longer be so.
    """
    delta = _open(table, lake_root)
    newest: dict[str, tuple[Entry, PartitionCounts]] = {}
    for commit in [] if delta is None else delta.history():
        entry = _entry(commit)
        if entry is None:
            if commit.get("operation") in CONTENT_CHANGES:
                break
            continue
        for name, counts in entry.partitions.items():
            newest.setdefault(name, (entry, counts))
    return newest


def watermark(table: TableRef, lake_root: str) -> str | None:
    """How far the source of `table` has been read: the newest watermark that a publish carried."""
    return next((entry.watermark for entry in entries(table, lake_root) if entry.watermark), None)


def _open(table: TableRef, lake_root: str) -> Any:
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    try:
        return DeltaTable(table.uri(lake_root), without_files=True)
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
        {**data, "version": commit.get("version"), "committed_at": str(commit.get("timestamp"))}
    )
