"""MariaDB and MySQL: types that mean another thing than their names say, and values that they alone keep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Table, cast, func, or_, text, type_coerce, types
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import DBAPIError

DIALECTS = ("mariadb", "mysql")
# Of a column's `info`: what is selected and compared in its place.
INSTEAD = "millstream: instead"
LARGEST_INT64 = 2**63 - 1
DIGITS_OF_UINT64 = 20
# Beside what has no connection: too many of them, a server that ends, a lock or a query that took too long, a
# table that somebody is changing. Another try may find it otherwise.
PASSING = {1040, 1053, 1158, 1159, 1160, 1161, 1203, 1205, 1213, 1226, 1317, 1412, 1927, 1969, 3024}
# Below are the server's errors, and above again; between them the client's own.
CLIENT_ERRORS = range(2000, 3000)


def prepare(connection: Connection) -> None:
    """All that is read from now on is of one moment, in times of UTC: a TIMESTAMP is shown in the session's
    zone."""
    connection.execution_options(isolation_level="REPEATABLE READ")
    # By itself it sorts by the first 1024 bytes alone; an index has 3072.
    connection.execute(text("SET time_zone = '+00:00', max_sort_length = 4096"))
    connection.execute(text("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"))


def adapt(table: Table, wanted: Mapping[str, str]) -> None:
    """Gives each column the type of what is read from it. `wanted` are types of a contract, by the columns'
    names at the source: TINYINT(1) is a number or a boolean, BIGINT UNSIGNED has two fitting types."""
    for column in table.columns:
        expected = wanted.get(column.name, "")
        kind, instead = _adapted(column, expected)
        column.type = kind
        if instead is not None:
            column.info[INSTEAD] = type_coerce(instead, kind)


def read(column: Column[Any]) -> ColumnElement[Any]:
    """What is selected and compared for a column: itself, as a rule."""
    # A column of a query has none.
    instead: ColumnElement[Any] = getattr(column, "info", {}).get(INSTEAD, column)
    return instead


def misfit(column: Column[Any]) -> ColumnElement[bool] | None:
    """Holds for values that the type of an adapted column does not have; None where it has all."""
    if isinstance(column.type, types.Boolean):
        return read(column).cast(types.Integer).not_in([0, 1])
    if isinstance(column.type, types.BigInteger):
        return read(column) > LARGEST_INT64
    if isinstance(column.type, types.Date | types.DateTime):
        return is_no_day(column)
    return None


def is_no_day(column: Column[Any]) -> ColumnElement[bool]:
    """Holds for days that no calendar has, such as 0000-00-00 and, where a server allows them, 2013-02-31."""
    day = func.dayofmonth(column)
    last = func.dayofmonth(func.last_day(column))
    return or_(func.year(column) == 0, func.month(column) == 0, day == 0, day > last)


def in_bytes(column: Column[Any]) -> ColumnElement[Any]:
    """A text as UTF-8, to be compared by its bytes: for its collation 'a', 'A', 'ä' and 'a ' may be one."""
    return cast(cast(column, types.String), types.LargeBinary)


def given_bytes(value: bytes) -> ColumnElement[Any]:
    """What a column of bytes is compared with. The driver's own spelling escapes by backslashes, which a
    server may take as they are: NO_BACKSLASH_ESCAPES in its sql_mode."""
    return func.unhex(value.hex(), type_=types.LargeBinary)


def is_refusal(error: DBAPIError) -> bool:
    """Whether the server answered and refused, for a reason that another try will meet again. Of most reasons
    the driver makes the same error as of a server that is gone."""
    number = error.orig.args[0] if error.orig and error.orig.args else None
    return isinstance(number, int) and number not in CLIENT_ERRORS and number not in PASSING | {0}


def _adapted(column: Column[Any], expected: str) -> tuple[types.TypeEngine[Any], ColumnElement[Any] | None]:
    kind = column.type
    is_flag = isinstance(kind, mysql.TINYINT) and kind.display_width == 1
    if isinstance(kind, mysql.BIT):
        # The driver has bytes of it.
        is_flag, number = kind.length == 1, cast(column, mysql.INTEGER(unsigned=True))
        exact = _whole(expected) if kind.length == 64 else types.Integer()
        return (types.Boolean() if is_flag and expected == "boolean" else exact), number
    if is_flag and expected == "boolean":
        return types.Boolean(), None
    if isinstance(kind, mysql.BIGINT) and kind.unsigned:
        return _whole(expected), None
    if isinstance(kind, mysql.FLOAT):
        # It shows six of its digits.
        return types.Float(), cast(column, mysql.DOUBLE())
    if isinstance(kind, types.Float):
        # SQLAlchemy takes DOUBLE for a decimal, of ten digits behind the point.
        return types.Float(), None
    if isinstance(kind, mysql.ENUM | mysql.SET):
        # Sorted by their numbers, compared as texts; and an unknown value is no Python value of theirs.
        return types.String(), cast(column, types.String)
    if isinstance(kind, mysql.TIMESTAMP):
        return types.DateTime(timezone=True), None
    return _simple(kind), None


def _simple(kind: types.TypeEngine[Any]) -> types.TypeEngine[Any]:
    if isinstance(kind, mysql.YEAR):
        return types.Integer()
    if isinstance(kind, types.UUID):
        return types.String()
    if isinstance(kind, types._Binary):
        return types.LargeBinary()
    if isinstance(kind, mysql.BIGINT):
        # Its values are those of int64.
        return types.Integer()
    return kind


def _whole(expected: str) -> types.TypeEngine[Any]:
    """Of whole numbers up to 2^64: exact where the contract has room for them."""
    if expected.startswith("decimal") or expected == "string":
        return types.Numeric(DIGITS_OF_UINT64, 0)
    return types.BigInteger()
