"""Tables of a SQL database: read in key order, batch by batch, landed as Parquet with the table's types.

Keyset batches (`WHERE key > last ORDER BY key LIMIT n`, https://use-the-index-luke.com/no-offset) cost the
same at the end of a table as at its start, and hold no cursor open between them. A large table is cut into
key ranges, each a slice of its own, so that slices can be fetched side by side and retried alone.

Names of tables and columns reach the database only as identifiers that SQLAlchemy reflected from it and
quotes itself; values only as bound parameters.
"""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict
from sqlalchemy import ColumnElement, Engine, and_, case, func, or_, select, true

from millstream.contracts.contract import Contract
from millstream.contracts.periods import SHAPES, Period, following, grain_of
from millstream.errors import ConfigurationError, SourceDataError
from millstream.landing.manifest import LandedFile
from millstream.landing.run import Landing, in_memory
from millstream.landing.seen import SeenRows
from millstream.landing.watermarks import at_least
from millstream.sources.arrow_types import arrow_table
from millstream.sources.ordering import NO_LOOKBACK, Order, earlier
from millstream.sources.sql_table import OpenTable, SourceTable

log = logging.getLogger(__name__)
SET_BACK = (
    "%s: the highest %s of the source is %s, and %s had been read. If an older state was put back there, run "
    "with full_refresh: rows that are written now may come before what is read"
)
BATCHES_A_SLICE = 10
MOST_SLICES = 32
KEYS_AT_ONCE = 50_000


class SqlSlice(BaseModel):
    """Rows whose key lies behind `after`, up to and with `upto`; null means no bound on that side. With a
    `period` they are of it alone.

    Of these, rows whose watermark is at least `since` and at most `until`; rows without a watermark always.
    The next run starts at `reached`. The slice of `keys` is the keys of all rows.
    """

    model_config = ConfigDict(frozen=True)

    kind: Literal["sql"] = "sql"
    number: int = 0
    after: str | None = None
    upto: str | None = None
    since: str | None = None
    until: str | None = None
    reached: str | None = None
    keys: bool = False
    period: Period | None = None


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
        """Key ranges of about ten batches each, of each period; none when nothing is at or after the
        watermark.

        What was read within the look-back before the watermark is read again, in search of what was committed
        late, and so is the row that set the watermark: another one may have come in at the same moment.
        """
        periods = self._periods(partitions)
        with self._at_source.opened() as table:
            table.check_order()
            table.check_key()
            if periods and table.event is not None:
                table.check_event(table.event)
                return [piece for period in periods for piece in self._of_period(table, period)]
            whole = self._whole(table, watermark)
            count = select(func.count()).select_from(table.table).where(*self._bounds(table, whole))
            rows = table.value(count)
            if rows:
                return self._with_keys(self._cut(table, whole, rows))
            has_rows = table.value(select(func.count()).select_from(table.table).where(table.wanted)) > 0
        if not has_rows and not self._contract.allow_empty:
            is_filtered = self._source.filter is not None
            state = "has no row for which source.filter holds" if is_filtered else "is empty"
            remedy = "look at source.filter in the contract" if is_filtered else "ask the database's owner"
            raise SourceDataError(
                f"{self._at_source.where} {state}. Nothing was landed. What to do: {remedy}; if that is "
                "right, set allow_empty in the contract"
            )
        return self._with_keys([whole] if watermark is None else [])

    def _periods(self, asked: Sequence[str]) -> list[str]:
        """The periods to read: those asked for, or all that the source has; none without a partition."""
        partition = self._contract.partition
        if partition is None and asked:
            raise ConfigurationError(f"{self._contract.dataset}: it is not partitioned: see its contract")
        if partition is None:
            return []
        if wrong := [one for one in asked if grain_of(one) != partition.grain]:
            raise ConfigurationError(
                f"{self._contract.dataset}: a partition is written {SHAPES[partition.grain]}, found "
                f"{', '.join(wrong)}"
            )
        return sorted(set(asked)) or self._contract.periods_at(datetime.now(UTC))

    def _of_period(self, table: OpenTable, period: str) -> list[SqlSlice]:
        whole = SqlSlice(period=period)
        rows = table.value(select(func.count()).select_from(table.table).where(*self._bounds(table, whole)))
        if not rows and not self._contract.allow_empty:
            raise SourceDataError(
                f"{self._at_source.where} has no row of {period}. Nothing was landed. What to do: ask the "
                "database's owner; if that is right, set allow_empty in the contract"
            )
        return self._cut(table, whole, rows) if rows else [whole]

    def fetch(self, piece: SqlSlice, landing: Landing) -> list[LandedFile]:
        """Land the slice's rows, a Parquet file a batch; those that an increment reads again as they were are
        left out."""
        with self._at_source.opened() as table:
            if piece.keys:
                return [self._land_keys(table, landing)]
            query = select(*table.landed.selected).where(*self._bounds(table, piece))
            query = query.order_by(*table.key.expressions)
            places = [table.landed.schema.get_field_index(name) for name in table.key.names]
            seen = self._seen(table, piece, landing)
            landed = []
            for number, rows in enumerate(self._batches(table, query, places)):
                batch = arrow_table(table.where, table.landed, rows)
                new = seen.without(batch) if seen else batch
                if new.num_rows or piece.since is None:
                    landed.append(self._land(landing, piece, number, new))
            return landed

    def _with_keys(self, slices: list[SqlSlice]) -> list[SqlSlice]:
        # Last, so that most of what is read before is among the keys.
        more = [SqlSlice(number=len(slices), keys=True)] if self._contract.compares_keys else []
        return [*slices, *more]

    def _land_keys(self, table: OpenTable, landing: Landing) -> LandedFile:
        """All keys of the table, as they are now, in one file."""
        delivered = self._contract.layout(table.table.columns.keys()).delivered
        pairs = zip(self._contract.columns, delivered, strict=True)
        names = [name for column, name in pairs if name and column.name in self._contract.primary_key]
        landed = table.landed.only(names)
        out = io.BytesIO()
        with pq.ParquetWriter(out, landed.schema, compression="zstd") as writer:
            query = select(*landed.selected).where(table.wanted).order_by(*table.key.expressions)
            for rows in table.stream(query, KEYS_AT_ONCE):
                writer.write_table(arrow_table(table.where, landed, rows))
        return landing.land(
            source=f"{self._at_source.where}, all keys",
            name=f"{self._source.short_name}-keys.parquet",
            read=in_memory(out.getvalue()),
            keys=True,
        )

    @contextmanager
    def counting(self, watermark: str) -> Iterator[SourceCounts]:
        """Counts of what must have been read by a run that has come to `watermark`."""
        with self._at_source.opened() as table:
            if table.watermark is None:
                raise ConfigurationError(f"{self._contract.dataset}: source.watermark is not set")
            yield SourceCounts(table, table.watermark, self._since(table.watermark, watermark))

    def _seen(self, table: OpenTable, piece: SqlSlice, landing: Landing) -> SeenRows | None:
        if piece.since is None or table.watermark is None:
            return None
        since = table.watermark.value(piece.since)
        return SeenRows(landing, table.key.names, table.watermark.column.name, piece.since, since)

    def _batches(self, table: OpenTable, query: Any, places: Sequence[int]) -> Iterator[Sequence[Any]]:
        """Rows in key order; the first batch comes even when it is empty."""
        size, key = self._source.batch_rows, table.key
        rows = table.rows(query.limit(size))
        yield rows
        while len(rows) == size:
            last = key.text([rows[-1][place] for place in places])
            rows = table.rows(query.where(key.behind(last)).limit(size))
            if rows:
                yield rows

    def _land(self, landing: Landing, piece: SqlSlice, number: int, batch: pa.Table) -> LandedFile:
        out = io.BytesIO()
        pq.write_table(batch, out, compression="zstd")
        since = f" since {piece.since}" if piece.since is not None else ""
        since += f", {piece.period}" if piece.period is not None else ""
        return landing.land(
            source=f"{self._at_source.where}{since}, slice {piece.number}, batch {number}",
            name=f"{self._source.short_name}-{piece.number:03d}-{number:05d}.parquet",
            read=in_memory(out.getvalue()),
            rows=batch.num_rows,
            watermark=piece.reached,
            partition=piece.period,
        )

    def _cut(self, table: OpenTable, whole: SqlSlice, rows: int) -> list[SqlSlice]:
        wanted = math.ceil(rows / (self._source.batch_rows * BATCHES_A_SLICE))
        step = math.ceil(rows / min(wanted, MOST_SLICES))
        key = table.key
        place = func.row_number().over(order_by=key.expressions).label("place")
        labelled = [one.label(f"key_{number}") for number, one in enumerate(key.expressions)]
        keys = select(place, *labelled).where(*self._bounds(table, whole)).subquery()
        _, *each = keys.columns
        last_of_each = select(*each).where(keys.c.place % step == 0, keys.c.place < rows)
        ends = [key.text(values) for values in table.rows(last_of_each.order_by(keys.c.place))]
        return [
            whole.model_copy(update={"number": number, "after": after, "upto": upto})
            for number, (after, upto) in enumerate(zip([None, *ends], [*ends, None], strict=True))
        ]

    def _whole(self, table: OpenTable, watermark: str | None) -> SqlSlice:
        """All that a run reads, before it is cut."""
        if self._contract.load != "watermark" or table.watermark is None:
            return SqlSlice()
        order = table.watermark
        since = None if watermark is None else self._since(order, watermark)
        query = select(func.max(order.expression)).where(table.wanted, ~order.has_no_place)
        highest = table.value(query)
        # A row that is dated ahead is read, by every run, but must not hide what others write until its time
        # has come.
        past = table.value(query.where(order.expression <= order.present())) if order.is_time else highest
        if highest is not None and watermark is not None and not at_least(order.text(highest), watermark):
            log.warning(SET_BACK, self._contract.dataset, order.column.name, order.text(highest), watermark)
        return SqlSlice(
            since=since,
            until=None if highest is None else order.text(highest),
            reached=None if past is None else order.text(past),
        )

    def _since(self, order: Order, watermark: str) -> str:
        """From where on to read: the look-back before the watermark."""
        lookback = self._contract.lookback(of_times=order.is_time)
        value = order.value(watermark)
        if not lookback:
            log.warning(NO_LOOKBACK, self._contract.dataset, order.column.name)
            return order.text(value)
        if isinstance(value, date) != isinstance(lookback, timedelta):
            kind = "times" if order.is_time else "no times"
            raise ConfigurationError(
                f"{self._contract.dataset}: source.lookback: column {order.column.name} holds {kind}, so it "
                "must be a duration (P1D) for times, and a number for numbers"
            )
        return order.text(earlier(value, lookback))

    def _bounds(self, table: OpenTable, piece: SqlSlice) -> list[ColumnElement[bool]]:
        bounds: list[ColumnElement[bool]] = [table.wanted]
        if piece.after is not None:
            bounds.append(table.key.behind(piece.after))
        if piece.upto is not None:
            bounds.append(table.key.upto(piece.upto))
        if table.watermark is not None:
            bounds += _watermark_bounds(table.watermark, piece)
        if table.event is not None and piece.period is not None:
            bounds += [
                table.event.expression >= table.event.start_of(piece.period),
                table.event.expression < table.event.start_of(following(piece.period)),
            ]
        return bounds


class SourceCounts:
    """How many rows of a table have a watermark before `since`, by ranges of the key."""

    def __init__(self, table: OpenTable, watermark: Order, since: str) -> None:
        # Ranges of the first column: those of the others lie within.
        (order, *_) = table.key.orders
        self._order = order
        self.keys = table.key.names
        self.key = order.column.name
        self.watermark = watermark.column.name
        self.before = watermark.value(since)
        self.value_of = watermark.value
        self.is_ordered_like = order.is_ordered_like
        self.text_of = order.text
        self._table = table
        self._is_before = (
            table.wanted & (watermark.expression < watermark.bound(since)) & ~watermark.has_no_place
        )

    def counts(self, ends: Sequence[str]) -> list[int]:
        """Of the ranges that end with each of `ends`, in this order, and of what lies behind them all."""
        key, order = self._order.in_code_order, self._order
        bounds = [order.bound_in_code_order(end) for end in ends]
        sums = [
            func.sum(
                case((and_(true() if low is None else key > low, true() if high is None else key <= high), 1))
            )
            for low, high in zip([None, *bounds], [*bounds, None], strict=True)
        ]
        (counts,) = self._table.rows(select(*sums).select_from(self._table.table).where(self._is_before))
        return [int(count or 0) for count in counts]


def _watermark_bounds(order: Order, piece: SqlSlice) -> list[ColumnElement[bool]]:
    # A row without a watermark can never be seen to have changed: it is read every time, not never.
    bounds = []
    if piece.since is not None:
        bounds.append(or_(order.expression >= order.bound(piece.since), order.has_no_place))
    if piece.until is not None:
        bounds.append(or_(order.expression <= order.bound(piece.until), order.has_no_place))
    return bounds


EXTRACTOR, SLICE = SqlExtractor, SqlSlice
