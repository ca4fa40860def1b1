"""`make sql`: any lake table by its name, over the Spark Connect server; to look, not to change."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from millstream import jobs
from millstream.errors import ClusterError
from millstream.lake.inventory import tables
from millstream.lake.tables import ZONES, TableRef
from millstream.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

NAMED = re.compile(rf"\b({'|'.join(ZONES)})\s*\.\s*`?(\w+)", re.IGNORECASE)
LEDGER = "ops.ledger"
ROW_LIMIT = 200
# Commands that only tell; every other command is refused.
TELLING = re.compile(r"\s*(describe|desc|show|explain)\b", re.IGNORECASE)


def tables_named(query: str) -> list[TableRef]:
    """The lake tables a query names, each once."""
    found = {f"{zone.lower()}.{name.lower()}" for zone, name in NAMED.findall(query)}
    return [TableRef.parse(name) for name in sorted(found)]


def read_only(query: str) -> str:
    """The same query in a form in which Spark refuses everything that changes data or tables.

    Inside parentheses Spark takes queries only, and one statement only.
    """
    if TELLING.match(query):
        return query
    # A comment at the query's end must not swallow the parenthesis.
    return f"SELECT * FROM (\n{query.strip().rstrip(';')}\n)"


def run_query(settings: Settings, query: str, screen: Console) -> None:
    """Prints the first rows of the query's answer.

    Raises:
        ClusterError: the server does not answer, there is no such table, or Spark does not accept the query.
    """
    from pyspark.errors import PySparkException
    from pyspark.sql.connect.session import SparkSession as ConnectSession

    # It would print each error a second time, as JSON.
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)
    try:
        spark: Any = ConnectSession.builder.remote(settings.connect_url).create()
    except Exception as error:
        raise ClusterError(
            f"the Spark Connect server at {settings.connect_url} does not answer: start it with `make up`"
        ) from error
    try:
        named = tables_named(query)
        if LEDGER in map(str, named):
            jobs.execute(spark, "rebuild_ledger", {"lake_root": settings.lake_root, "run": "sql"})
        _require(named, settings.lake_root)
        _register(spark, settings.lake_root, named)
        answer = spark.sql(read_only(query))
        _print(answer.columns, answer.limit(ROW_LIMIT + 1).collect(), screen)
    except PySparkException as error:
        raise ClusterError(_told(error)) from error
    finally:
        spark.stop()


def _told(error: Exception) -> str:
    """The message alone: the plan and the stack trace after it are of use to those who write Spark."""
    message = str(error).partition("JVM stacktrace")[0]
    # Where the query cannot be parsed it is quoted, and no plan follows.
    return (message if "== SQL ==" in message else message.partition(";\n")[0]).strip()


def _require(named: list[TableRef], lake_root: str) -> None:
    """Raise ClusterError for a table that the lake does not have; Delta would speak of creating it."""
    there = tables(lake_root)
    if missing := [str(table) for table in named if table not in there]:
        raise ClusterError(
            f"there is no table {', '.join(missing)}; there are: {', '.join(map(str, there)) or 'none yet'}. "
            "A quarantine is there once a row was sent to it"
        )


def _register(spark: SparkSession, lake_root: str, named: Iterable[TableRef]) -> None:
    """Makes the tables known under their names; the catalog lives in the server's memory only."""
    for zone in ZONES:
        spark.sql(f"CREATE SCHEMA IF NOT EXISTS {zone}")
    for table in named:
        spark.sql(f"CREATE TABLE IF NOT EXISTS {table} USING DELTA LOCATION '{table.uri(lake_root)}'")


def _print(columns: list[str], rows: list[Any], screen: Console) -> None:
    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows[:ROW_LIMIT]:
        table.add_row(*("" if value is None else str(value) for value in row))
    screen.print(table, markup=False)
    if len(rows) > ROW_LIMIT:
        screen.print(f"only the first {ROW_LIMIT} rows are shown")
