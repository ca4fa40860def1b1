"""A table of a SQL database."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from millstream.contracts import sources
from millstream.contracts.sources import SourceName

if TYPE_CHECKING:
    from millstream.contracts.contract import Contract

# What could end a condition and begin something else.
_NO_CONDITION = re.compile(r";|--|/\*|#")


def _several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


class Source(sources.Source):
    """A table of a SQL database, read in key order."""

    one_table: ClassVar[bool] = True
    can_count: ClassVar[bool] = True

    kind: Literal["sql"]
    format: Literal["parquet"] = "parquet"
    table: str = Field(
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$",
        description="name, or schema and name, as they are spelled there",
    )
    key: Annotated[tuple[SourceName, ...], BeforeValidator(_several)] = Field(
        description="a column, or a list of columns, that identifies a row; rows are read in its order, in "
        "batches",
    )
    columns: tuple[SourceName, ...] = Field(
        default=(), description="the columns to read, besides key and watermark; all, where it is not said"
    )
    filter: str | None = Field(
        default=None,
        max_length=2000,
        description="the rows to read: a condition in the database's SQL, as behind WHERE",
    )
    watermark: SourceName | None = Field(
        default=None,
        description="for `load: watermark`: a column of times or numbers that grows with each change",
    )
    batch_rows: int = Field(default=10_000, ge=1, description="rows in a landed file")

    @model_validator(mode="after")
    def _filter_is_one_condition(self) -> Self:
        if self.filter is not None and (not self.filter.strip() or _NO_CONDITION.search(self.filter)):
            raise ValueError("filter: expected one condition, without comments and semicolons")
        if not self.key or len(set(self.key)) < len(self.key):
            raise ValueError("key: expected a column, or several, each named once")
        return self

    @property
    def has_watermark(self) -> bool:
        return self.watermark is not None

    @property
    def own_columns(self) -> frozenset[str]:
        return frozenset(name for name in (*self.key, self.watermark) if name is not None)

    def check(self, contract: Contract) -> None:
        read = self.own_columns.union(self.columns)
        unread = [column.name for column in contract.columns if column.delivered_as(read) is None]
        if self.columns and unread:
            raise ValueError(f"source.columns: leaves out what the contract has: {', '.join(unread)}")
