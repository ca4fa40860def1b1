"""The account of a publish: what became of every row that it read.

It rides in the `userMetadata` of the Delta commit that it is about, so it is written with the data or not at
all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from millstream.contracts.drift import Change
from millstream.errors import ConservationError
from millstream.lake.offsets import Offsets
from millstream.lake.tables import WHOLE

KIND = "millstream.publish"
# Fields of an account that are not in it, but in the commit around it.
READ_BACK = {"version", "operation", "committed_at", "condition", "mode"}
# What of its table a publish has put its rows in the place of.
Scope = Literal["table", "partitions", "rows"]


class PartitionCounts(BaseModel):
    """What one run did to one partition (`all` for a whole table); counts are rows by source row id."""

    read: int
    written: int
    quarantined: int
    deduplicated: int
    dropped: int = Field(default=0, description="a person decided that they are published nowhere")
    tombstones: int = Field(default=0, description="say that the source has deleted the row of their key")
    late: int = Field(default=0, description="came after their window had closed; none in a batch")
    accepted: int = Field(default=0, description="of the written, those broken and accepted by a person")
    deleted: int = Field(default=0, description="rows of the table that left it: the source has deleted them")
    content_hash: str = Field(description="order-independent hash of the published rows")
    quarantine_hash: str = Field(default="0", description="the same of the quarantined rows")

    @property
    def accounted(self) -> int:
        kept = self.written + self.quarantined
        return kept + self.deduplicated + self.dropped + self.tombstones + self.late


class Account(BaseModel):
    """One run's account of one table."""

    model_config = ConfigDict(extra="ignore")

    kind: str = KIND
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
    offsets: Offsets | None = Field(default=None, description="of a stream: what of its topic was read")
    # Known only once read back from the table's history.
    version: int | None = None
    operation: str | None = None
    committed_at: str | None = None
    condition: str | None = Field(default=None, description="which rows the commit has replaced")
    mode: str | None = Field(default=None, description="of a write: Overwrite, or Append by a stream")

    @property
    def scope(self) -> Scope:
        """What the publish has replaced; known once read back.

        An increment counts under the whole table, and replaces only rows: of its keys, or of its run. A
        stream adds rows.
        """
        if self.operation == "MERGE" or self.mode == "Append":
            return "rows"
        if self.condition and WHOLE in self.partitions:
            return "rows"
        return "partitions" if self.condition else "table"

    def is_copy_of(self, other: Account) -> bool:
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
    def tombstones(self) -> int:
        return sum(counts.tombstones for counts in self.partitions.values())

    @property
    def deleted(self) -> int:
        return sum(counts.deleted for counts in self.partitions.values())

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
                f"{self.dropped} + tombstones {self.tombstones} + late {self.late} = {accounted}. "
                "Nothing was published; the staged table is kept for inspection"
            )


def newest(by_partition: Mapping[str, tuple[Account, PartitionCounts]]) -> Account | None:
    """The newest of a table's accounts (`History.latest_by_partition`); None where somebody has changed the
    table since, or gone back to an earlier version of it."""
    accounts = (account for account, _ in by_partition.values())
    return max(accounts, key=lambda account: account.version or 0, default=None)


def account_in(metadata: str, **read_back: Any) -> Account | None:
    """The account in a commit's `userMetadata`, if any; `read_back` is what the commit around it says."""
    try:
        data = json.loads(metadata)
    except ValueError:
        return None
    if not isinstance(data, dict) or data.get("kind") != KIND:
        return None
    return Account.model_validate({**data, **read_back})
