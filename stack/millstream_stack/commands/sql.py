"""`make sql`: any lake table by its name, over the Spark Connect server; read-only."""

from __future__ import annotations

import logging
import re
import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from rich.console import Console

from millstream import jobs
from millstream.engines import sessions
from millstream.errors import MillstreamError
from millstream.lake.inventory import tables
from millstream.lake.tables import NAME, ZONES, TableRef
from millstream.settings import Settings
from millstream.streams import served
from millstream_stack.commands import sql_tables
from millstream_stack.commands.sql_output import Format, show, write_csv, write_json, write_parquet

if TYPE_CHECKING:
    from pyspark.errors import PySparkException
    from pyspark.sql import Column, DataFrame, SparkSession
    from pyspark.sql.types import DataType

NAMED = re.compile(rf"\b({'|'.join(ZONES)})\s*\.\s*`?(\w+)", re.IGNORECASE)
LEDGER = "ops.ledger"
ROW_LIMIT = 200
# Commands that only tell; every other command is refused.
TELLING = re.compile(r"\s*(describe|desc|show|explain)\b", re.IGNORECASE)
# Spark's catalog lives in the server's memory and knows the tables that were asked for; the lake has all.
SHOW_TABLES = re.compile(r"\s*show\s+tables\s*;?\s*", re.IGNORECASE)
# What follows the words of Spark's message: its SQL state, the query and the plan.
AFTER_MESSAGE = re.compile(r"(SQLSTATE: |== SQL|;\n).*", re.DOTALL)
POSITION = re.compile(r"\bline (\d+),? (pos|position) (\d+)")
JSON_OPTIONS = {
    "ignoreNullFields": "false",
    # Without these, milliseconds would be all that is left of microseconds.
    "timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX",
    "timestampNTZFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSS",
}
# What a query begins with, after comments and parentheses; possessive, or many comments would take for ever.
FIRST_WORD = re.compile(r"(?:\s|\(|--[^\n]*(?:\n|$)|/\*.*?\*/)*+(\w+)", re.DOTALL)
# What Spark's and Delta's statements that change something begin with.
CHANGING = re.compile(
    "add|alter|analyze|begin|cache|call|clear|comment|convert|copy|create|declare|delete|drop|execute|grant|"
    "insert|load|lock|merge|msck|optimize|refresh|reorg|repair|replace|reset|restore|revoke|set|truncate|"
    "uncache|undrop|unset|update|use|vacuum",
    re.IGNORECASE,
)


class QueryError(MillstreamError):
    """The query of `make sql` cannot be answered as it is written."""


def tables_named(query: str) -> list[TableRef]:
    """The lake tables a query names, each once; a name in a text counts too."""
    names = {(zone.lower(), name.lower()) for zone, name in NAMED.findall(query)}
    return [TableRef.parse(f"{zone}.{name}") for zone, name in sorted(names) if NAME.fullmatch(name)]


def read_only(query: str) -> str:
    """The same query in a form in which Spark refuses everything that changes data or tables.

    Inside parentheses Spark takes queries only, and one statement only.
    """
    if TELLING.match(query):
        return query
    # A comment at the query's end must not swallow the parenthesis.
    return f"SELECT * FROM (\n{query.strip().rstrip(';')}\n)"


def run_query(settings: Settings, query: str, screen: Console, form: Format = "table") -> None:
    """Prints the query's answer: its first rows as a table, or all of them as CSV, JSON or Parquet.

    Parquet takes the memory of all rows here, the others that of some.

    Raises:
        ClusterError: the server does not answer.
        QueryError: the query would change something, names no table of the lake, or is none for Spark.
    """
    from pyspark.errors import PySparkException

    _require_reading(query, settings)
    if SHOW_TABLES.fullmatch(query):
        sql_tables.list_names(settings.lake_root, screen, form)
        return
    # It would print each error a second time, as JSON.
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)
    with sessions.connect(settings.connect_url, f"sql/{uuid4()}", [], tag="sql") as spark:
        try:
            _register(spark, settings.lake_root, query)
            _print(spark.sql(read_only(query)), screen, form)
        except PySparkException as error:
            raise QueryError(_in_words(error, query, settings)) from error


def _require_reading(query: str, settings: Settings) -> None:
    word = FIRST_WORD.match(query)
    if word and CHANGING.fullmatch(word[1]):
        raise QueryError(_is_read_only(word[1], settings))


def _is_read_only(word: str, settings: Settings) -> str:
    return (
        f"`make sql` is read-only, it does not take {word.upper()}: it takes queries, describe, show and "
        "explain. Tables are changed by their DAGs (docs/operations.md); by hand in a Spark session of your "
        f"own on {settings.connect_url}, and `make reconcile` tells of such a change"
    )


def _register(spark: SparkSession, lake_root: str, query: str) -> None:
    """Makes the tables that the query names known under their names, and all of them to `show`."""
    present = tables(lake_root)
    named = tables_named(query)
    if LEDGER in map(str, named):
        jobs.execute(spark, "rebuild_ledger", {"lake_root": lake_root, "run": "sql"})
        present.append(TableRef.parse(LEDGER))
    for zone in ZONES:
        spark.sql(f"CREATE SCHEMA IF NOT EXISTS {zone}")
    behind = served.sources(lake_root) if served.VIEW in named else ()
    for table in dict.fromkeys(present):
        if table in named or table in behind or query.lstrip().lower().startswith("show"):
            spark.sql(f"CREATE TABLE IF NOT EXISTS {table} USING DELTA LOCATION '{table.uri(lake_root)}'")
    if behind:
        spark.sql(f"CREATE OR REPLACE VIEW {served.VIEW} AS {served.query(list(map(str, behind)))}")


def _print(answer: DataFrame, screen: Console, form: Format) -> None:
    match form:
        case "csv":
            write_csv(answer.columns, _as_text(answer).toLocalIterator(), screen.file)
        case "json":
            write_json((row[0] for row in _as_objects(answer).toLocalIterator()), screen.file)
        case "parquet":
            _require_names(answer)
            write_parquet(answer.toArrow(), screen.file)
        case "table":
            _print_table(answer, screen)


def _print_table(answer: DataFrame, screen: Console) -> None:
    from pyspark.sql.types import NumericType

    rows: Sequence[Any] = _as_text(answer).limit(ROW_LIMIT + 1).collect()
    right = [isinstance(field.dataType, NumericType) for field in answer.schema.fields]
    show(answer.columns, rows[:ROW_LIMIT], screen, right=right)
    if len(rows) > ROW_LIMIT:
        note = f"only the first {ROW_LIMIT} rows are shown; FORMAT=csv, json or parquet gives all"
        print(note, file=sys.stderr)


def _as_text(answer: DataFrame) -> DataFrame:
    """Every value as Spark writes it: Python cannot hold each date, interval or text that Spark can."""
    # Two columns may have the same name.
    places = [f"column_{place}" for place in range(len(answer.columns))]
    fields = answer.schema.fields
    texts = (_text(place, field.dataType) for place, field in zip(places, fields, strict=True))
    return answer.toDF(*places).select(*texts)


def _text(name: str, kind: DataType) -> Column:
    from pyspark.sql import functions as F
    from pyspark.sql.types import ArrayType, BinaryType, MapType, StructType

    match kind:
        case ArrayType() | MapType() | StructType():
            text = F.to_json(name, JSON_OPTIONS)
        case BinaryType():
            text = F.hex(name)
        case _:
            text = F.col(name).cast("string")
    return F.make_valid_utf8(text)


def _as_objects(answer: DataFrame) -> DataFrame:
    """One column: each row as a JSON object. Raises QueryError when two columns have the same name."""
    from pyspark.sql import functions as F

    _require_names(answer)
    return answer.select(F.make_valid_utf8(F.to_json(F.struct(F.col("*")), JSON_OPTIONS)))


def _require_names(answer: DataFrame) -> None:
    twice = [name for name, count in Counter(answer.columns).items() if count > 1]
    if twice:
        raise QueryError(f"several columns are named {', '.join(twice)}: give each a name of its own (AS)")


def _in_words(error: PySparkException, query: str, settings: Settings) -> str:
    """The error in one line: the plan and the stack trace after it are of use to those who write Spark."""
    condition, parameters = error.getCondition(), error.getMessageParameters() or {}
    if condition == "TABLE_OR_VIEW_NOT_FOUND":
        return sql_tables.no_such_table(parameters["relationName"].replace("`", ""), settings.lake_root)
    near = parameters["error"].strip("'") if condition == "PARSE_SYNTAX_ERROR" else ""
    if CHANGING.fullmatch(near):
        return _is_read_only(near, settings)
    if near == ";":
        return "`make sql` takes one statement: leave out the ; and what follows it"
    message = str(error).partition("JVM stacktrace")[0]
    said = " ".join(AFTER_MESSAGE.sub("", message).split())
    return f"{said}{_where(message, query)}"


def _where(message: str, query: str) -> str:
    """Where in the query the error is, lines and columns counted from 1; nothing if Spark does not say."""
    position = POSITION.search(message)
    if position is None:
        return ""
    # `read_only` has put a line before a query. Spark counts what it calls `pos` from 0, `position` from 1.
    line = int(position[1]) - (0 if TELLING.match(query) else 1)
    column = int(position[3]) + (1 if position[2] == "pos" else 0)
    return f" (line {line}, column {column} of the query)"
