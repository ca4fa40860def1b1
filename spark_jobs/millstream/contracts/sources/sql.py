"""A table of a SQL database, or what a query selects there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from millstream.contracts import sources
from millstream.contracts.sources import SourceName

if TYPE_CHECKING:
    from millstream.contracts.contract import Contract

MOMENTS = ("date", "timestamp", "timestamp_ntz")
# By whose grammars a query may be a SELECT.
DIALECTS = ("postgres", "mysql", "sqlite", "tsql", "oracle", "snowflake")
# What could end a condition and begin something else.
_NO_CONDITION = re.compile(r";|--|/\*|#")


def _check_periods(contract: Contract) -> None:
    """Raises ValueError where nothing says in which period a row of the database lies."""
    assert contract.partition is not None
    times = ("timestamp", "timestamp_ntz") if contract.partition.grain == "hour" else MOMENTS
    column = next((one for one in contract.columns if one.name == contract.event_time), None)
    if column is None or column.type not in times or column.nullable:
        raise ValueError(
            f"event_time: a database is read by {contract.partition.grain} of this column, which has to be "
            f"{' or '.join(times)} and nullable: false"
        )


def _check_query(query: str) -> None:
    """Raises ValueError for what is no SELECT, or would not select the same rows each time a part is read."""
    if _NO_CONDITION.search(query):
        raise ValueError("query: expected one SELECT, without comments and semicolons")
    import sqlglot
    from sqlglot import exp

    for dialect in DIALECTS:
        try:
            read = sqlglot.parse_one(query, dialect=dialect)
        except sqlglot.errors.SqlglotError:
            continue
        if not isinstance(read, exp.Query):
            raise ValueError("query: expected a SELECT")
        if bounded := [name for name in ("order", "limit", "offset", "fetch") if read.args.get(name)]:
            raise ValueError(
                f"query: {', '.join(bounded).upper()}: rows are read in parts, in the order of the key; say "
                "which are meant by a condition"
            )
        return
    raise ValueError("query: cannot be read as a SELECT")


def _several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


class Source(sources.Source):
    """A table of a SQL database, or what a query selects, read in key order."""

    by_partition: ClassVar[bool] = True
    one_table: ClassVar[bool] = True
    can_count: ClassVar[bool] = True

    kind: Literal["sql"]
    format: Literal["parquet"] = "parquet"
    table: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$",
        description="name, or schema and name, as they are spelled there",
    )
    query: str | None = Field(
        default=None,
        max_length=10_000,
        description="in place of `table`: a SELECT in the database's SQL, without comments, ORDER BY, LIMIT",
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
        if (self.table is None) == (self.query is None):
            raise ValueError("table, query: one of the two says what is read")
        if self.query is not None:
            _check_query(self.query)
        if not self.key or len(set(self.key)) < len(self.key):
            raise ValueError("key: expected a column, or several, each named once")
        return self

    @property
    def reads(self) -> str:
        """What is read, in words."""
        return f"table {self.table}" if self.table else "the query"

    @property
    def short_name(self) -> str:
        """What its landed files are called."""
        return self.table or "query"

    @property
    def has_watermark(self) -> bool:
        return self.watermark is not None

    @property
    def own_columns(self) -> frozenset[str]:
        return frozenset(name for name in (*self.key, self.watermark) if name is not None)

    def check(self, contract: Contract) -> None:
        if contract.partition is not None:
            _check_periods(contract)
        read = self.own_columns.union(self.columns)
        unread = [column.name for column in contract.columns if column.delivered_as(read) is None]
        if self.columns and unread:
            raise ValueError(f"source.columns: leaves out what the contract has: {', '.join(unread)}")
