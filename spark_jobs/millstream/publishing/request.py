"""What is to be published, and under which account."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from millstream.contracts.drift import Change
from millstream.contracts.updates import INCREMENTS, Load
from millstream.lake.names import ColumnName, Inputs, Partitions, RunKey, TableName
from millstream.lake.tables import WHOLE


class Request(BaseModel):
    """Rows of one run for one table.

    `sequence` orders the attempts of one scope: of two that publish the same partitions the higher one
    stays. Runs of different ranges are ordered by when they began to fetch.
    `rows_read` is what the transform counted. `partitions` are those of the run, empty for a whole table.
    `contract` is a dataset's; by it broken rows are kept as received. `drift` is what the transform found
    changed at its source, `fetch_began` when the run began to fetch what was staged. A replay publishes what
    `run` landed once more; `replay` is the run that does it. `rest` is given with months of a mart: the
    versions of its tables of which the months are that are left as they are. With `rebuild` the table is made
    anew: all its rows, and the columns, key and partition that its contract has now.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    table: TableName
    run: RunKey
    sequence: int
    rows_read: int
    load: Load
    partitions: Partitions = ()
    partition_column: ColumnName | None = None
    inputs: Inputs = Field(default_factory=dict)
    rest: Inputs | None = None
    contract: dict[str, Any] | None = None
    drift: tuple[Change, ...] = ()
    contract_version: int | None = None
    code_version: str
    watermark: str | None = None
    fetch_began: datetime | None = None
    replay: RunKey | None = None
    rebuild: bool = False

    @model_validator(mode="after")
    def _replaces_what_it_loads(self) -> Self:
        if self.load == "partition" and not (self.partitions and self.partition_column):
            raise ValueError(
                "load 'partition' needs partitions and a partition_column: without, all is replaced"
            )
        if self.load != "partition" and self.partitions:
            raise ValueError(f"load {self.load!r} has no partitions, found {', '.join(self.partitions)}")
        if self.rebuild and (self.load != "full" or self.replay is not None):
            raise ValueError("rebuild: all rows of the table are replaced, by load 'full'")
        if self.contract is not None and self.fetch_began is None:
            raise ValueError("what was landed needs fetch_began, which orders it among other runs'")
        return self

    @property
    def is_increment(self) -> bool:
        """Whether the rows come beside what the table has of other runs."""
        return self.load in INCREMENTS

    @property
    def scope(self) -> str:
        """What its attempts compete for."""
        return ",".join(self.partitions) or WHOLE
