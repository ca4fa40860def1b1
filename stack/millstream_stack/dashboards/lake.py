"""SQL over the lake without Spark: DuckDB reads the files of the tables that a SELECT names."""

from __future__ import annotations

from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from millstream.errors import ConfigurationError
from millstream.lake import history
from millstream.lake.tables import ZONES, TableRef
from millstream.settings import Settings
from millstream.streams import served

# No file but those of the tables; a query that takes more memory ends, and the service does not. Neither with
# the rows of an answer, which DuckDB does not count.
VECTOR_ROWS, MOST_ROWS = 2048, 100 * 2048
BOUNDS: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "memory_limit": "256MB",
    "temp_directory": "",
}


class NoTableError(ConfigurationError):
    """The lake has no such table, or none yet."""


def table_exists(name: str, lake_root: str = "") -> bool:
    """Whether the lake has the table, or what the view of this name is served of."""
    root, table = lake_root or Settings().lake_root, TableRef.parse(name)
    return bool(served.sources(root)) if table == served.VIEW else history.exists(table.uri(root))


def query(sql: str, lake_root: str = "", **parameters: Any) -> Any:
    """The rows of one SELECT in DuckDB's SQL as a pandas DataFrame.

    Tables have the names that `make sql` has for them: `silver.flights`; each is read at its version of now,
    and only the columns and months that are asked for. `$name` in the SELECT is a parameter. Times are UTC.

    Raises: NoTableError for a table that the lake does not have; ConfigurationError for all but a SELECT, and
        for an answer of more than 204,800 rows. In a notebook the cell stops there, and shows what it says.
    """
    try:
        return _answer(sql, lake_root or Settings().lake_root, parameters)
    except ConfigurationError as error:
        import marimo

        if marimo.running_in_notebook():
            # A page without its code would show the number of an error, and no word of it.
            marimo.stop(True, marimo.callout(marimo.md(str(error)), kind="warn"))
        raise


def _answer(sql: str, root: str, parameters: dict[str, Any]) -> Any:
    import duckdb

    with duckdb.connect(config=BOUNDS) as database:
        database.execute("SET TimeZone = 'UTC'")
        for table in _tables(sql):
            database.execute(f"CREATE SCHEMA IF NOT EXISTS {table.zone}")
            body = served.query([_registered(database, one, root) for one in _sources(table, root)])
            if table != served.VIEW:
                body = f"SELECT * FROM {_registered(database, table, root)}"
            database.execute(f"CREATE OR REPLACE VIEW {table.zone}.{table.name} AS {body}")
        answer = database.execute(sql, parameters or None)
        rows = answer.fetch_df_chunk(MOST_ROWS // VECTOR_ROWS)
        if len(rows) >= MOST_ROWS and len(answer.fetch_df_chunk(1)):
            raise ConfigurationError(
                f"the answer has more than {MOST_ROWS:,} rows: add them up in the SELECT, or LIMIT it"
            )
        return rows


def _tables(sql: str) -> set[TableRef]:
    try:
        statements = [one for one in sqlglot.parse(sql, read="duckdb") if one is not None]
    except SqlglotError as error:
        raise ConfigurationError(f"the query cannot be read: {error}") from error
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise ConfigurationError("a dashboard asks with one SELECT")
    # As DuckDB reads them, whatever their case.
    named = {(one.db.lower(), one.name.lower()) for one in statements[0].find_all(exp.Table)}
    return {TableRef.parse(f"{zone}.{name}") for zone, name in named if zone in ZONES}


def _sources(table: TableRef, root: str) -> tuple[TableRef, ...]:
    """What a view is served of; nothing for a table."""
    if table != served.VIEW:
        return ()
    if not (sources := served.sources(root)):
        raise NoTableError(f"{table} is not there yet: `make streams-up` or `make demo-streams` makes it")
    return sources


def _registered(database: Any, table: TableRef, root: str) -> str:
    """The name by which the database knows the table's files."""
    present = history.snapshot(table.uri(root))
    if present is None:
        raise NoTableError(
            f"the lake has no {table}, or not yet: `make sql` lists its tables, `make demo` makes those that "
            "are shipped"
        )
    name = f"{table.zone}_{table.name}_files"
    database.register(name, present.dataset())
    return name
