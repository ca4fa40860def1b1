"""Tables of a SQL database: read in key order, batch by batch, landed as Parquet with the table's types.

Keyset batches (`WHERE key > last ORDER BY key LIMIT n`, https://use-the-index-luke.com/no-offset) cost the
same at the end of a table as at its start, and hold no cursor open between them. A large table is cut into
key ranges, each a slice of its own, so that slices can be fetched side by side and retried alone.

Names of tables and columns reach the database only as identifiers that SQLAlchemy reflected from it and
quotes itself; values only as bound parameters.
"""

from __future__ import annotations

import io
import math
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict
from sqlalchemy import Column, ColumnElement, Engine, func, or_, select

from millstream.contract import Contract
from millstream.errors import ConfigurationError, SourceDataError
from millstream.extract.arrow_types import arrow_table, landed_columns
from millstream.extract.sql_table import OpenTable, SourceTable, value_type
from millstream.landing import LandedFile, Landing, in_memory

BATCHES_A_SLICE = 10
MOST_SLICES = 32

_READERS: dict[type | None, Callable[[str], Any]] = {
    int: int,
    float: float,
    str: str,
    Decimal: Decimal,
    date: date.fromisoformat,
    datetime: datetime.fromisoformat,
    uuid.UUID: uuid.UUID,
}


class SqlSlice(BaseModel):
    """Rows whose key lies behind `after`, up to and with `upto`; null means no bound on that side.

    Of these, rows whose watermark is at least `since` and at most `until`; rows without a watermark always.
    The next run starts at `reached`.
    """

    model_config = ConfigDict(frozen=True)

    kind: Literal["sql"] = "sql"
    number: int = 0
    after: str | None = None
    upto: str | None = None
    since: str | None = None
    until: str | None = None
    reached: str | None = None


class SqlExtractor:
    """Reads the table of one contract through `engine`.

    Raises SourceUnavailableError while the database does not answer; SchemaDriftError when the table or a
    column of the contract is gone; SourceDataError when the key is no key, a value has not its column's
    type, or the table is empty.
    """

    def __init__(self, contract: Contract, engine: Engine) -> None:
        self._contract = contract
        self._at_source = SourceTable(contract, engine)
        self._source = self._at_source.source

    def plan(self, partitions: Sequence[str], watermark: str | None = None) -> list[SqlSlice]:
        """Key ranges of about ten batches each; none when nothing is at or after the watermark.

        The row that set the watermark is read again: another one may have come in at the same moment, and
        the load merges by key.
        """
        if partitions:
            raise ConfigurationError(f"{self._contract.dataset}: a SQL source is not read by partition")
        with self._at_source.opened() as table:
            table.check_key()
            highest = self._highest_watermark(table)
            whole = SqlSlice(since=watermark, until=highest, reached=self._reached(table, highest))
            count = select(func.count()).select_from(table.table).where(*self._bounds(table, whole))
            rows = table.value(count)
            if rows:
                return self._cut(table, whole, rows)
        if watermark is not None:
            return []
        if not self._contract.allow_empty:
            raise SourceDataError(
                f"{self._at_source.where} is empty. Nothing was landed. Ask the database's owner; if that is "
                "right, set allow_empty in the contract"
            )
        return [whole]

    def fetch(self, piece: SqlSlice, landing: Landing) -> list[LandedFile]:
        """Land the slice's rows, a Parquet file a batch."""
        with self._at_source.opened() as table:
            selected, schema = landed_columns(table.table)
            query = select(*selected).where(*self._bounds(table, piece)).order_by(table.key)
            place = schema.get_field_index(table.key.name)
            return [
                self._land(landing, piece, number, arrow_table(table.where, schema, rows))
                for number, rows in enumerate(self._batches(table, query, place))
            ]

    def _batches(self, table: OpenTable, query: Any, place: int) -> Iterator[Sequence[Any]]:
        """Rows in key order; the first batch comes even when it is empty."""
        size = self._source.batch_rows
        rows = table.rows(query.limit(size))
        yield rows
        while len(rows) == size:
            last = _from_text(table.key, _to_text(rows[-1][place]))
            rows = table.rows(query.where(table.key > last).limit(size))
            if rows:
                yield rows

    def _land(self, landing: Landing, piece: SqlSlice, number: int, batch: pa.Table) -> LandedFile:
        out = io.BytesIO()
        pq.write_table(batch, out, compression="zstd")
        since = f" since {piece.since}" if piece.since is not None else ""
        return landing.land(
            source=f"{self._at_source.where}{since}, slice {piece.number}, batch {number}",
            name=f"{self._source.table}-{piece.number:03d}-{number:05d}.parquet",
            read=in_memory(out.getvalue()),
            rows=batch.num_rows,
            watermark=piece.reached,
        )

    def _cut(self, table: OpenTable, whole: SqlSlice, rows: int) -> list[SqlSlice]:
        wanted = math.ceil(rows / (self._source.batch_rows * BATCHES_A_SLICE))
        step = math.ceil(rows / min(wanted, MOST_SLICES))
        place = func.row_number().over(order_by=table.key).label("place")
        keys = select(table.key.label("key"), place).where(*self._bounds(table, whole)).subquery()
        last_of_each = select(keys.c.key).where(keys.c.place % step == 0, keys.c.place < rows)
        ends = [_to_text(key) for (key,) in table.rows(last_of_each.order_by(keys.c.place))]
        return [
            whole.model_copy(update={"number": number, "after": after, "upto": upto})
            for number, (after, upto) in enumerate(zip([None, *ends], [*ends, None], strict=True))
        ]

    def _highest_watermark(self, table: OpenTable) -> str | None:
        if self._contract.load != "watermark" or self._source.watermark is None:
            return None
        highest = table.value(select(func.max(table.table.columns[self._source.watermark])))
        return None if highest is None else _to_text(highest)

    def _reached(self, table: OpenTable, highest: str | None) -> str | None:
        """The highest watermark that is not yet to come. A row that is dated ahead is read, by every run, but
        must not hide what others write until its time has come.
        """
        if highest is None or self._source.watermark is None:
            return highest
        column = table.table.columns[self._source.watermark]
        value, now = _from_text(column, highest), datetime.now(UTC)
        if not isinstance(value, datetime):
            return highest
        # A time without a zone counts as UTC. Where the source's is ahead of that, more is read again.
        present = now if value.tzinfo else now.replace(tzinfo=None)
        if value <= present:
            return highest
        reached = table.value(select(func.max(column)).where(column <= present))
        return None if reached is None else _to_text(reached)

    def _bounds(self, table: OpenTable, piece: SqlSlice) -> list[ColumnElement[bool]]:
        bounds: list[ColumnElement[bool]] = []
        if piece.after is not None:
            bounds.append(table.key > _from_text(table.key, piece.after))
        if piece.upto is not None:
            bounds.append(table.key <= _from_text(table.key, piece.upto))
        if self._source.watermark is not None:
            bounds += _watermark_bounds(table.table.columns[self._source.watermark], piece)
        return bounds


def _watermark_bounds(column: Column[Any], piece: SqlSlice) -> list[ColumnElement[bool]]:
    # A row without a watermark can never be seen to have changed: it is read every time, not never.
    bounds = []
    if piece.since is not None:
        bounds.append(or_(column >= _from_text(column, piece.since), column.is_(None)))
    if piece.until is not None:
        bounds.append(or_(column <= _from_text(column, piece.until), column.is_(None)))
    return bounds


def _to_text(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def _from_text(column: Column[Any], text: str) -> Any:
    """The value of `column` that `_to_text` wrote as `text`."""
    read = _READERS.get(value_type(column))
    if read is None:
        raise ConfigurationError(
            f"table {column.table}: column {column.name} has type {column.type!r}, which has no order to "
            "read by; name another key or watermark in the contract"
        )
    try:
        return read(text)
    except (ValueError, ArithmeticError) as error:
        raise ConfigurationError(
            f"table {column.table}: {text!r} is no value of column {column.name} ({column.type!r}); run with "
            "a full refresh"
        ) from error
