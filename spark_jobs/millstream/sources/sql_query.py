"""A query in the place of a table: what it selects, with the types that the contract says.

A database tells no more of a query than names. So the types are the contract's, and what is text there is
made text by the database; a value that has not its type is told with its column.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, String, Subquery, cast, column, select, text, types

from millstream.contracts.types import digits_of

NAME = "source_query"
_TYPES: dict[str, types.TypeEngine[Any]] = {
    "smallint": types.SmallInteger(),
    "int": types.Integer(),
    "bigint": types.BigInteger(),
    "float": types.Float(),
    "double": types.Float(),
    "boolean": types.Boolean(),
    "date": types.Date(),
    "timestamp": types.DateTime(timezone=True),
    "timestamp_ntz": types.DateTime(),
    "binary": types.LargeBinary(),
}


def names_of(connection: Connection, query: str) -> list[str]:
    """The names of the columns that a query selects."""
    found = connection.execute(text(f"SELECT * FROM ({_literal(query)}) {NAME} WHERE 1 = 0"))
    return list(found.keys())


def selected(query: str, names: list[str], wanted: Mapping[str, str]) -> Subquery:
    """The query as something to select from. `wanted` are types of a contract, by names of columns; those
    that it does not have are text."""
    kinds = {name: _type(wanted.get(name, "string")) for name in names}
    given = text(_literal(query)).columns(*(column(name, kind) for name, kind in kinds.items()))
    inner = given.subquery("given")
    columns = [
        cast(inner.c[name], String).label(name) if isinstance(kind, String) else inner.c[name]
        for name, kind in kinds.items()
    ]
    return select(*columns).subquery(NAME)


def _type(wanted: str) -> types.TypeEngine[Any]:
    if (digits := digits_of(wanted)) is not None:
        return types.Numeric(digits.precision, digits.scale)
    return _TYPES.get(wanted, types.String())


def _literal(query: str) -> str:
    """As `text` takes it: colons are the database's, not names of values to be filled in."""
    return query.replace(":", r"\:")
