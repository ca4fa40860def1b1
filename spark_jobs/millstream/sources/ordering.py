"""In which order a column's values come: what a database is asked to compare, and bounds as text.

SQLite keeps times as text, in whatever spelling they were written. They are compared as moments there, by a
function that Python lends to the connection: `2024-05-01T10:00:00Z` and `2024-05-01 10:00:00` are the same.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
from sqlalchemy import Column, ColumnElement, Connection, String, cast, func, or_, types

from millstream.contracts.periods import start_of
from millstream.errors import ConfigurationError
from millstream.sources import mariadb

MOMENT = "millstream_moment"

NO_LOOKBACK = (
    "%s: nothing before the watermark is read again (source.lookback): a row that is committed late, with an "
    "earlier %s, is never read"
)

_READERS: dict[type | None, Callable[[str], Any]] = {
    int: int,
    float: float,
    str: str,
    bytes: bytes.fromhex,
    Decimal: Decimal,
    date: date.fromisoformat,
    datetime: datetime.fromisoformat,
    uuid.UUID: uuid.UUID,
}
# The collation that goes by the characters' codes.
_CODE_ORDERS = {"sqlite": "BINARY", "postgresql": "C"}


class Order:
    """How the values of `column`, a key or a watermark, are compared in the database it was reflected from.

    Raises ConfigurationError when they cannot be: the message names the column.
    """

    def __init__(
        self, column: Column[Any], dialect: str, of_times: bool = False, by_bytes: bool = False
    ) -> None:
        self.column = column
        self.kind = value_type(column)
        text_of_times = of_times and self.kind is str
        if text_of_times and dialect != "sqlite":
            raise ConfigurationError(
                f"table {column.table}: column {column.name} is text, whose order is not that of times: rows "
                " would be left out. Name a column of times or numbers as source.watermark; a view may "
                "cast this one"
            )
        self.is_time = self.kind in (date, datetime) or text_of_times
        self._dialect = dialect
        self._as_moments = self.is_time and dialect == "sqlite"
        self._ends_early = self.is_time and dialect == "postgresql"
        self._of_mariadb = dialect in mariadb.DIALECTS
        # Of a text, in the order of its characters' codes, whatever its collation.
        self._by_bytes = by_bytes and self.kind is str

    @property
    def expression(self) -> ColumnElement[Any]:
        """What is compared and sorted by."""
        if self._by_bytes:
            return mariadb.in_bytes(self.column)
        if not self._as_moments:
            return mariadb.read(self.column)
        return func.millstream_moment(self.column, type_=String)

    @property
    def in_code_order(self) -> ColumnElement[Any]:
        """The expression in the order that Python has: texts by their characters' codes, whatever the
        database's collation."""
        if self._of_mariadb and self.kind is str:
            return mariadb.in_bytes(self.column)
        collation = _CODE_ORDERS.get(self._dialect)
        if self._as_moments or collation is None or self.kind not in (str, uuid.UUID):
            return self.expression
        return cast(self.column, String).collate(collation)

    def bound_in_code_order(self, text: str) -> Any:
        if self._of_mariadb and self.kind is str:
            return mariadb.given_bytes(text.encode())
        return text if self.kind is uuid.UUID else self.bound(text)

    def is_ordered_like(self, landed: pa.DataType) -> bool:
        """Whether landed values of the column come in the order of `in_code_order`."""
        if self.kind in (str, uuid.UUID):
            has_code_order = self._dialect in _CODE_ORDERS or self._of_mariadb
            return pa.types.is_string(landed) and (self._as_moments or has_code_order)
        return not pa.types.is_string(landed)

    @property
    def may_have_no_place(self) -> bool:
        return self.is_time or self.kind in (float, Decimal) or self._misfit is not None

    @property
    def _misfit(self) -> ColumnElement[bool] | None:
        return mariadb.misfit(self.column) if self._of_mariadb else None

    @property
    def has_no_place(self) -> ColumnElement[bool]:
        """Holds for values that no other can be read up to: none, infinity, what is no number."""
        missing = self.expression.is_(None)
        if self._of_mariadb:
            return missing if self._misfit is None else or_(missing, self._misfit)
        if self._ends_early:
            return or_(missing, not_held(self.column))
        if self.kind in (float, Decimal):
            return or_(missing, is_no_number(self.column))
        return missing

    @property
    def is_no_moment(self) -> ColumnElement[bool] | None:
        """Holds for values that are there and cannot be compared; None where every value can be."""
        if not self._as_moments:
            return None
        return self.column.is_not(None) & self.expression.is_(None)

    def text(self, value: Any) -> str:
        """A value of the column, or of the expression, as text."""
        if self._as_moments:
            moment = _moment(value)
            return (moment.date() if self.kind is date else moment).isoformat()
        if isinstance(value, bytes):
            return value.decode() if self._by_bytes else value.hex()
        return value.isoformat() if isinstance(value, date) else str(value)

    def value(self, text: str) -> Any:
        """The value that `text` was made of. Raises ConfigurationError when it is none."""
        if self.kind not in _READERS:
            raise self._unordered()
        try:
            return _moment(text) if self._as_moments else _READERS[self.kind](text)
        except (ValueError, ArithmeticError) as error:
            raise ConfigurationError(
                f"table {self.column.table}: {text!r} is no value of column {self.column.name} "
                f"({self.column.type!r}). What to do: run with a full refresh"
            ) from error

    def bound(self, text: str) -> Any:
        """What the expression is compared with, to mean the value that `text` was made of."""
        value = self.value(text)
        if self._of_mariadb and (self._by_bytes or self.kind is bytes):
            return mariadb.given_bytes(value if self.kind is bytes else value.encode())
        return _spelled(value) if self._as_moments else value

    def start_of(self, period: str) -> Any:
        """What the expression is compared with, to mean the beginning of a period in UTC."""
        start = start_of(period)
        if self.kind is date and not self._as_moments:
            return start.date()
        if self._as_moments:
            return _spelled(start)
        has_zone = isinstance(self.column.type, types.DateTime) and self.column.type.timezone
        return start.replace(tzinfo=UTC) if has_zone else start

    def present(self) -> Any:
        """Now, as what the expression is compared with. A time without a zone counts as UTC. Where the
        source's is ahead of that, more is read again."""
        now = datetime.now(UTC)
        if self.kind is date:
            return _spelled(now) if self._as_moments else now.date()
        if self._as_moments:
            return _spelled(now)
        has_zone = isinstance(self.column.type, types.DateTime) and self.column.type.timezone
        return now if has_zone else now.replace(tzinfo=None)

    def _unordered(self) -> ConfigurationError:
        return ConfigurationError(
            f"table {self.column.table}: column {self.column.name} has type {self.column.type!r}, which has "
            "no order to read by; name another key or watermark in the contract"
        )


def not_held(column: Column[Any]) -> ColumnElement[bool]:
    """Holds for times that Python does not have: infinity, and years before 1 and after 9999."""
    earliest: date = datetime.min
    latest: date = datetime.max
    if isinstance(column.type, types.Date):
        earliest, latest = date.min, date.max
    elif isinstance(column.type, types.DateTime) and column.type.timezone:
        earliest, latest = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    return or_(column < earliest, column > latest)


def is_no_number(column: Column[Any]) -> ColumnElement[bool]:
    """Holds for what a column of numbers has besides numbers, as PostgreSQL and SQLite spell it."""
    return cast(column, String).in_(["NaN", "Infinity", "-Infinity", "Inf", "-Inf"])


def prepare_sqlite(connection: Connection) -> None:
    """Make the function `millstream_moment` known to a connection, and let bytes in a text be a matter of
    their column: the driver would take them for a failure of the database."""
    driver: Any = connection.connection.driver_connection
    driver.create_function(MOMENT, 1, _moment_in_sql, deterministic=True)
    driver.text_factory = lambda text: text.decode(errors="surrogateescape")


def earlier(value: Any, lookback: timedelta | int) -> Any:
    """`value` less the look-back; a date is whole days earlier."""
    if isinstance(value, date) and not isinstance(value, datetime) and isinstance(lookback, timedelta):
        lookback = timedelta(days=-(-lookback // timedelta(days=1)))
    try:
        return value - lookback
    except OverflowError:
        return type(value).min


def value_type(column: Column[Any]) -> type | None:
    """The Python type of a column's values; None where SQLAlchemy knows none."""
    try:
        return column.type.python_type
    except NotImplementedError:  # SQLAlchemy's answer for a type without one
        return None


def _moment(value: Any) -> datetime:
    """A time in UTC and without a zone; one without a zone counts as UTC. Raises ValueError."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if not isinstance(value, datetime):
        raise ValueError(f"not a time: {value!r}")
    return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value


def _spelled(moment: datetime) -> str:
    """One spelling for all, whose order as text is that of the moments."""
    return _moment(moment).isoformat(timespec="microseconds")


def _moment_in_sql(value: Any) -> str | None:
    try:
        return None if value is None else _spelled(_moment(value))
    except (ValueError, OverflowError):
        return None
