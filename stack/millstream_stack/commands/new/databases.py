"""A look at a table of a database: its columns, types and key as the database itself knows them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from millstream.contracts.types import MOST_DIGITS
from millstream.errors import ConfigurationError
from millstream.sources import mariadb as types_of_mariadb
from millstream.sources.arrow_types import landed_columns
from millstream_stack.commands.new import mariadb
from millstream_stack.commands.new.looks import Look

SAMPLE_ROWS = 1000
# By the types of SQLAlchemy, the narrower ones first.
KINDS: tuple[tuple[type[sa.types.TypeEngine[Any]], str], ...] = (
    (sa.SmallInteger, "smallint"),
    (sa.BigInteger, "bigint"),
    (sa.Integer, "int"),
    (sa.Boolean, "boolean"),
    (sa.DateTime, "timestamp"),
    (sa.Date, "date"),
    (sa.Float, "double"),
    (sa.JSON, "json"),
    (sa.LargeBinary, "binary"),
)
# Names of a column with the time of a row's last change, without case and marks, the likeliest first.
CHANGED = (
    *("updatedat", "modifiedat", "changedat", "lastmodified", "lastupdated", "lastupdate", "lastchanged"),
    *("updatedon", "modifiedon", "changedon", "updatetime", "modifytime", "datemodified", "dateupdated"),
    *("mtime", "updated", "modified", "changed"),
)


def at_table(engine: sa.Engine, connection: str, table: str, said: Sequence[str] = ()) -> Look:
    """A look at `table`, `name` or `schema.name`, and at its first rows. The columns that are `said`
    identify a row; if none are, those do of which the database says it.

    Raises: ConfigurationError when there is no such table or column, or nothing in it identifies a row.
    """
    schema, _, name = table.rpartition(".")
    inspector = sa.inspect(engine)
    if not inspector.has_table(name, schema=schema or None):
        present = ", ".join(sorted(inspector.get_table_names(schema=schema or None))[:20])
        raise ConfigurationError(f"connection {connection} has no table {table}; it has {present or 'none'}")
    columns = inspector.get_columns(name, schema=schema or None)
    names = [str(column["name"]) for column in columns]
    if unknown := [one for one in said if one not in names]:
        raise ConfigurationError(
            f"KEY: {table} has no column {', '.join(unknown)}; it has {', '.join(names)}"
        )
    key = tuple(said) or _declared_key(inspector, name, schema)
    if not key:
        raise ConfigurationError(
            f"{table} is read in the order of unique columns, and declares none: say them, KEY={names[0]}"
        )
    found = sa.Table(name, sa.MetaData(), schema=schema or None, autoload_with=engine, resolve_fks=False)
    kinds = {one: kind for one in names if (kind := _kind(found.c[one].type))}
    if engine.dialect.name == "postgresql":
        kinds |= {one: "timestamp_ntz" for one in names if _is_wall_clock(found.c[one].type)}
        kinds |= {one: "time" for one in names if isinstance(found.c[one].type, sa.Time)}
    flags: list[str] = []
    if engine.dialect.name in types_of_mariadb.DIALECTS:
        kinds |= mariadb.kinds(engine, found)
        flags = mariadb.flags(found)
        types_of_mariadb.adapt(found, kinds)
    landed = landed_columns(found, engine.dialect.name).only(names)
    picked = sa.select(*landed.selected[: len(names)])
    with engine.connect() as opened:
        rows = [
            [None if value is None else str(value) for value in row]
            for row in opened.execute(picked.limit(SAMPLE_ROWS))
        ]
    kinds |= {
        flag: "boolean" for flag in flags if {row[names.index(flag)] for row in rows} <= {None, "0", "1"}
    }
    source: dict[str, Any] = {"kind": "sql", "connection": connection, "table": table}
    source["key"] = key[0] if len(key) == 1 else list(key)
    times = [one for one in names if kinds.get(one) in ("timestamp", "timestamp_ntz")]
    plain = {re.sub(r"[^a-z]", "", one.lower()): one for one in reversed(times)}
    changed = next((plain[one] for one in CHANGED if one in plain), None)
    notes: tuple[str, ...] = ()
    if changed:
        source["watermark"] = changed
        notes = (f"read by increments, because {changed} looks like the time of a row's last change",)
    return Look(source, names, rows, len(rows) < SAMPLE_ROWS, kinds, key, notes)


def _declared_key(inspector: sa.Inspector, name: str, schema: str) -> tuple[str, ...]:
    if key := inspector.get_pk_constraint(name, schema=schema or None)["constrained_columns"]:
        return tuple(key)
    unique = inspector.get_unique_constraints(name, schema=schema or None)
    return tuple(str(one) for one in unique[0]["column_names"]) if unique else ()


def _is_wall_clock(declared: sa.types.TypeEngine[Any]) -> bool:
    return isinstance(declared, sa.DateTime) and not declared.timezone


def _kind(declared: sa.types.TypeEngine[Any]) -> str | None:
    if isinstance(declared, sa.Numeric) and not isinstance(declared, sa.Float):
        known = declared.precision is not None and declared.precision <= MOST_DIGITS
        return f"decimal({declared.precision},{declared.scale or 0})" if known else None
    if isinstance(declared, sa.ARRAY):
        return f"array<{_kind(declared.item_type) or 'string'}>"
    return next((kind for known, kind in KINDS if isinstance(declared, known)), None)
