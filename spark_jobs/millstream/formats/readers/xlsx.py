"""Workbooks of Excel (.xlsx, .xlsm, .xlsb, .xls) and OpenDocument (.ods): the rows of one sheet.

A workbook is read into memory as a whole; a sheet has 1,048,576 rows at most.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from pydantic import Field

from millstream.errors import printable
from millstream.formats import format as of_format
from millstream.formats.arrow_text import text_of
from millstream.formats.format import Format
from millstream.formats.record import (
    Delivered,
    Piece,
    Record,
    Rows,
    UnreadableError,
    Wanted,
    added_as_json,
    alike,
    unreadable,
)
from millstream.formats.sheet_errors import Place, errors_in

if TYPE_CHECKING:
    from python_calamine import CalamineSheet, CalamineWorkbook

# A sheet of the most rows with twenty columns has so much; a small file may claim to hold far more.
LARGEST = 1 << 31
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
# The last whole number below which a float has them all.
_EXACT = 2**53


class Options(of_format.Options):
    """Of a workbook."""

    sheet: str | None = Field(default=None, description="which sheet; needed where there are several")
    header: bool | tuple[str, ...] = Field(
        default=True,
        description="whether a row names the columns; false: they are the contract's, in its order; or the "
        "names of a sheet that has no such row",
    )
    skip_rows: int = Field(
        default=0, ge=0, description="rows of the sheet before the header, or the first row"
    )


class _Sheet(NamedTuple):
    names: list[str]
    rows: Iterator[list[str | None]]


def delivered(stream: IO[bytes], contract: Wanted) -> Delivered:
    """The names in the header. Raises: UnreadableError: no workbook, no such sheet, no header."""
    with _opened(stream, contract) as sheet:
        return Delivered(sheet.names, {})


def has_records(stream: IO[bytes], contract: Wanted) -> bool:
    """Whether a row has a value. Reads all of the sheet."""
    with _opened(stream, contract) as sheet:
        return sum(1 for row in sheet.rows if any(value is not None for value in row)) > 0


def rows(stream: IO[bytes], contract: Wanted, piece: Piece | None = None) -> Rows:
    """The rows behind the header; None for an empty one, which keeps its number."""
    with _opened(stream, contract) as sheet:
        layout = contract.layout(sheet.names)
        places = [None if name is None else sheet.names.index(name) for name in layout.delivered]
        besides = {name: sheet.names.index(name) for name in layout.added}
        width = len(sheet.names)
        for row in sheet.rows:
            if all(value is None for value in row):
                yield None
                continue
            if any(value is not None for value in row[width:]):
                yield Record(None, f"a value in a column without a name: {_shown(row)}", _shown(row))
                continue
            row += [None] * (width - len(row))
            added = added_as_json({name: [row[place]] for name, place in besides.items()})
            values = [None if place is None else row[place] for place in places]
            yield Record(values, added=added[0] if added else None)


def _shown(row: list[str | None]) -> str:
    return " | ".join(value or "" for value in row)


@contextmanager
def _opened(stream: IO[bytes], contract: Wanted) -> Iterator[_Sheet]:
    with _failures(stream):
        import python_calamine as calamine

        _check_size(stream)
        workbook = calamine.CalamineWorkbook.from_filelike(stream)
        sheet = _named(workbook, contract)
        yield _table(sheet, errors_in(stream, sheet.name), contract)


def _check_size(stream: IO[bytes]) -> None:
    if zipfile.is_zipfile(stream):
        with zipfile.ZipFile(stream) as archive:
            size = sum(info.file_size for info in archive.infolist())
        if size > LARGEST:
            raise UnreadableError(f"is a workbook of {size:,} bytes when unpacked; {LARGEST:,} are read")
    stream.seek(0)


def _named(workbook: CalamineWorkbook, contract: Wanted) -> CalamineSheet:
    options: Options = contract.format_options
    names = workbook.sheet_names
    shown = ", ".join(printable(repr(name)) for name in names)
    if options.sheet is None:
        if len(names) != 1:
            raise UnreadableError(f"has {len(names)} sheets ({shown}): name one as `sheet` in the contract")
        return workbook.get_sheet_by_index(0)
    if options.sheet not in names:
        raise UnreadableError(f"has no sheet {options.sheet!r}, but {shown}")
    return workbook.get_sheet_by_name(options.sheet)


def _table(sheet: CalamineSheet, errors: dict[Place, str], contract: Wanted) -> _Sheet:
    options: Options = contract.format_options
    texts = iter([[_text(value) for value in row] for row in sheet.to_python(skip_empty_area=False)])
    if errors:
        rows = [*texts]
        for (row, column), error in errors.items():
            rows += [[] for _ in range(row + 1 - len(rows))]
            rows[row] += [None] * (column + 1 - len(rows[row]))
            rows[row][column] = error
        texts = iter(rows)
    for _ in range(options.skip_rows):
        next(texts, None)
    if options.header is False:
        return _Sheet(contract.column_names, texts)
    if isinstance(options.header, tuple):
        return _Sheet([*options.header], texts)
    header = next((row for row in texts if any(value is not None for value in row)), None)
    if header is None:
        raise UnreadableError("has no header: the sheet is empty")
    while header[-1] is None:
        header.pop()
    if None in header:
        raise UnreadableError(f"has a column without a name in its header: {printable(_shown(header))}")
    names = [str(name) for name in header]
    if same := alike(names):
        raise UnreadableError(f"has columns named twice: {same}")
    return _Sheet(names, texts)


def _text(value: Any) -> str | None:
    """A cell as text. Excel's numbers are all floats: 5 and 5.0 are the same, and written 5."""
    if value == "":
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return str(int(value))
    return text_of(value)


@contextmanager
def _failures(stream: IO[bytes]) -> Iterator[None]:
    try:
        yield
    except (UnreadableError, MemoryError, GeneratorExit, KeyboardInterrupt):
        raise
    # A damaged workbook makes the reader raise many things; one of them, its panic, is no Exception.
    except BaseException as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise unreadable(stream, "workbook", _WORKBOOKS, error) from error


FORMAT = Format(
    "rows of a sheet of a workbook, below a header or without one",
    delivered,
    has_records,
    rows,
    packable=False,
    nests=False,
    options=Options,
)
