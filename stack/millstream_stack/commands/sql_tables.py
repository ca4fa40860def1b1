"""The lake's tables with their columns, from their Delta logs: for `make sql` without a query. No Spark."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from rich.console import Console
from rich.text import Text

from millstream.errors import ConfigurationError
from millstream.lake import history
from millstream.lake.inventory import tables
from millstream.lake.tables import TableRef
from millstream.streams import served
from millstream_stack.commands.sql_output import Format, json_object, printable, show, write_csv, write_json

NONE_YET = "the lake has no table yet: `make demo` fills it, or trigger an ingest DAG in Airflow"
LIST_ALL = "`make sql` without a query lists all tables and their columns"
HEADINGS = ("table", "version", "rows", "column", "type", "comment")


@dataclass(frozen=True)
class Column:
    """`kind` is the type as Spark's SQL writes it."""

    name: str
    kind: str
    comment: str


@dataclass(frozen=True)
class Listed:
    """A table at its latest version; `rows` is None where the log does not say how many there are.

    A view has no version.
    """

    name: str
    version: int | None
    rows: int | None
    columns: tuple[Column, ...]


def listed(table: TableRef, lake_root: str) -> Listed:
    """What the table's Delta log says of it; the rows are those that the log counts, no file is opened."""
    from pyspark.sql.types import StructType

    present = history.snapshot(table.uri(lake_root))
    if present is None:
        raise ConfigurationError(no_such_table(str(table), lake_root))
    schema = StructType.fromJson(present.schema)
    columns = tuple(
        Column(field.name, field.dataType.simpleString(), field.metadata.get("comment", ""))
        for field in schema.fields
    )
    return Listed(str(table), present.version, present.noted_rows(), columns)


def list_tables(lake_root: str, screen: Console, form: Format = "table") -> None:
    """Prints every table of the lake with its columns. Raises ConfigurationError when there is none."""
    listings = _listed(lake_root)
    if form != "table":
        _write(HEADINGS, _lines(listings), screen, form)
        return
    for table in listings:
        _print_columns(table, screen)


def list_names(lake_root: str, screen: Console, form: Format = "table") -> None:
    """Prints every table's name, version and rows. Raises ConfigurationError when there is no table."""
    listings, headings = _listed(lake_root), HEADINGS[:3]
    if form != "table":
        _write(headings, ((table.name, table.version, table.rows) for table in listings), screen, form)
        return
    rows = [(table.name, _version(table), _counted(table)) for table in listings]
    show(headings, rows, screen, right=(False, True, True))


def no_such_table(name: str, lake_root: str) -> str:
    """Says that there is no table `name`, and which ones have a name like it."""
    names = [str(table) for table in tables(lake_root)]
    names += [str(served.VIEW)] if served.sources(lake_root) else []
    if not names:
        return f"there is no table {name}: {NONE_YET}"
    bare = name.rpartition(".")[2]
    # One that was named without its zone, or in another one, comes first.
    near = [known for known in names if known.partition(".")[2] == bare]
    near += [known for known in get_close_matches(name, names) if known not in near]
    hint = f" did you mean {' or '.join(near[:3])}?" if near else ""
    if bare.endswith("_quarantine"):
        hint += " A quarantine is there once a row was sent to it."
    return f"there is no table {name};{hint} {LIST_ALL}"


def _listed(lake_root: str) -> list[Listed]:
    """Every table of the lake; one whose log is damaged hides no other, and is named on standard error."""
    present = tables(lake_root)
    if not present:
        raise ConfigurationError(NONE_YET)
    listings = []
    for table in present:
        try:
            listings.append(listed(table, lake_root))
        except history.log_error() as error:
            why = str(error).partition("\n")[0]
            print(f"{table}: its Delta log cannot be read: {why}", file=sys.stderr)
    if served.sources(lake_root):
        listings.append(_view())
    return listings


def _view() -> Listed:
    columns = tuple(Column(name, kind, comment) for name, (kind, comment) in served.comments().items())
    return Listed(str(served.VIEW), None, None, columns)


def _write(
    headings: Sequence[str], lines: Iterable[tuple[object, ...]], screen: Console, form: Format
) -> None:
    if form == "parquet":
        raise ConfigurationError('FORMAT=parquet is for the rows of a query: make sql Q="select …"')
    if form == "json":
        write_json((json_object(dict(zip(headings, line, strict=True))) for line in lines), screen.file)
        return
    rows = ([None if value is None else str(value) for value in line] for line in lines)
    write_csv(headings, rows, screen.file)


def _version(table: Listed) -> str:
    return "view" if table.version is None else str(table.version)


def _counted(table: Listed) -> str:
    if table.version is None:
        return ""
    return "not counted" if table.rows is None else f"{table.rows:,}"


def _lines(listings: list[Listed]) -> Iterator[tuple[object, ...]]:
    for table in listings:
        for column in table.columns:
            yield (table.name, table.version, table.rows, column.name, column.kind, column.comment)


def _print_columns(table: Listed, screen: Console) -> None:
    rows = "rows not counted" if table.rows is None else f"{table.rows:,} rows"
    said = "view" if table.version is None else f"version {table.version}, {rows}"
    screen.print(Text(f"{table.name}  {said}", style="bold"))
    widths = [max(len(value) for value in values) for values in zip(*_named(table), strict=True)]
    for column in table.columns:
        line = f"  {column.name.ljust(widths[0])}  {column.kind.ljust(widths[1])}  {column.comment}".rstrip()
        # The first words are enough here; `describe` has them all.
        screen.print(Text(printable(line).replace("\n", " ")), no_wrap=True, overflow="ellipsis")
    screen.print()


def _named(table: Listed) -> list[tuple[str, str]]:
    return [(column.name, column.kind) for column in table.columns]
