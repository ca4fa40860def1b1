"""What `make sql` writes: a table, one value a line where that is too wide, or CSV, JSON or Parquet for
programs."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from typing import IO, TYPE_CHECKING, Literal, get_args

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from millstream.errors import ConfigurationError

if TYPE_CHECKING:
    import pyarrow as pa

Format = Literal["table", "csv", "json", "parquet"]
Row = Sequence[str | None]
# Up to so many columns a long text stays readable when it is folded in its cell.
FOLDED_COLUMNS = 3
NULL = "NULL"
UNLIMITED = 1_000_000
RULER = 40


def format_named(name: str) -> Format:
    """The format of that name; no name is a table. Raises ConfigurationError when there is none such."""
    wanted = name.strip().lower() or "table"
    for known in get_args(Format):
        if wanted == known:
            chosen: Format = known
            return chosen
    raise ConfigurationError(f"FORMAT is {name!r}: give csv, json or parquet, or leave it out for a table")


def printable(text: str) -> str:
    """`text` as a terminal can show it: what is not printable is written as Python does, such as `\\x1b`.

    Line breaks stay. An escape sequence in the data would otherwise move the cursor, or worse.
    """
    return "".join(
        character if character == "\n" or character.isprintable() else repr(character)[1:-1]
        for character in text
    )


def show(columns: Sequence[str], rows: Sequence[Row], screen: Console, *, right: Sequence[bool]) -> None:
    """Prints a table; where it has more than three columns and is too wide, one value a line.

    right: for each column whether it is aligned to the right, as numbers are.
    """
    table = Table()
    for column, numeric in zip(columns, right, strict=True):
        table.add_column(Text(printable(column)), overflow="fold", justify="right" if numeric else "left")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    # Asked with the screen's own width, the table would say that it fits: it can fold its cells.
    wanted = screen.measure(table, options=screen.options.update(max_width=UNLIMITED)).maximum
    if len(columns) > FOLDED_COLUMNS and wanted > screen.width:
        _show_expanded([printable(column) for column in columns], rows, screen)
    else:
        screen.print(table)


def write_csv(columns: Sequence[str], rows: Iterable[Row], stream: IO[str]) -> None:
    """A line of names, then a line a row; a null is an empty field."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)


def write_json(objects: Iterable[str], stream: IO[str]) -> None:
    """An array of objects, each given as JSON, one a line."""
    separator = "[\n"
    for text in objects:
        stream.write(separator + text)
        separator = ",\n"
    stream.write("[]\n" if separator == "[\n" else "\n]\n")


def write_parquet(table: pa.Table, stream: IO[str]) -> None:
    """One file, with the types as they are. Raises ConfigurationError where a person would see its bytes."""
    from pyarrow import parquet

    if stream.isatty():
        raise ConfigurationError("Parquet is no text: send it to a file, … FORMAT=parquet >rows.parquet")
    stream.flush()
    # What a text stream writes to.
    parquet.write_table(table, stream.buffer)  # type: ignore[attr-defined]


def json_object(values: dict[str, object]) -> str:
    return json.dumps(values, ensure_ascii=False)


def _cell(value: str | None) -> Text:
    return Text(NULL, style="dim") if value is None else Text(printable(value))


def _show_expanded(columns: Sequence[str], rows: Sequence[Row], screen: Console) -> None:
    """As psql's `\\x` does: a line of its own for each value, with the column's name before it."""
    width = max(map(cell_len, columns))
    for number, row in enumerate(rows, start=1):
        screen.out(f"-[ row {number} ]".ljust(RULER, "-"), highlight=False)
        for column, value in zip(columns, row, strict=True):
            name = column + " " * (width - cell_len(column))
            # Further lines of a value stand below its first one.
            text = (NULL if value is None else printable(value)).replace("\n", f"\n{' ' * width} | ")
            screen.out(f"{name} | {text}", highlight=False)
