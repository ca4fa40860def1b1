"""JSON lines: one record a line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import chain
from typing import IO, Any

from millstream.errors import printable
from millstream.file_kinds import HEAD_BYTES, recognised
from millstream.formats.format import Format
from millstream.formats.json_values import NESTED, Ambiguous, TooDeep, json_record, parse
from millstream.formats.record import (
    FIELD_TWICE,
    Delivered,
    Layouts,
    Piece,
    Record,
    Rows,
    UnreadableError,
    Wanted,
    layouts,
    of_records,
)
from millstream.formats.text_lines import whole_lines

SHOWN = 60


def delivered(stream: IO[bytes], contract: Wanted) -> Delivered:
    """Every name that the record of one of the lines has. Raises: as `has_records`."""
    found = of_records(contract, (value for value, _ in _lines_parsed(_checked(stream))))
    if not found.names:
        stream.seek(0)
        has_records(stream, contract)
    return found


def has_records(stream: IO[bytes], contract: Wanted) -> bool:
    """Whether there is a record; none is what a file of no line, or of blank ones, has.

    Raises: UnreadableError: there are lines, and not one of them is a record.
    """
    first: bytes | None = None
    for value, line in _lines_parsed(_checked(stream)):
        if isinstance(value, dict | Ambiguous | TooDeep):
            return True
        if first is None and value is not _BLANK:
            first = line
    if first is None:
        return False
    shown = printable(_json_line(first)[:SHOWN])
    several = first.lstrip()[:1] in (b"{", b"[")
    cause = "Is it one JSON text over several lines? JSON lines have one record a line" if several else ""
    raise UnreadableError(f"has no line that is a JSON object; the first is: {shown}. {cause}".rstrip(". "))


def rows(stream: IO[bytes], contract: Wanted, piece: Piece | None = None) -> Rows:
    """One record a line; None for a blank one, which keeps its number."""
    layout_of = layouts(contract)
    for value, line in _lines_parsed(_checked(stream)):
        if value is _BLANK:
            yield None
            continue
        raw = partial(_json_line, line)
        if isinstance(value, ValueError):
            yield Record(None, f"not JSON: {value}", raw())
        else:
            yield json_record(value, layout_of, raw)


def value_record(value: bytes, beside: Mapping[str, str], layout_of: Layouts) -> Record:
    """The record that the value of a message is, with the fields that came `beside` it."""
    raw = partial(_json_line, value)
    try:
        # As text: Python's parser takes bytes in UTF-16 and behind a mark of their order, too.
        parsed = parse(value.decode(), _refused)
    except RecursionError:
        return Record(None, NESTED, raw())
    except ValueError as error:
        return Record(None, f"not JSON: {error}", raw())
    if isinstance(parsed, dict):
        if twice := sorted(parsed.keys() & beside.keys()):
            return Record(None, f"{FIELD_TWICE}: {', '.join(twice)}", raw())
        parsed |= beside
    return json_record(parsed, layout_of, raw)


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant} is no value")


def _checked(stream: IO[bytes]) -> Iterable[bytes]:
    """The lines of a stream that begins as text in UTF-8 does."""
    lines = whole_lines(stream)
    first = next(lines, b"")
    if other := recognised(first[:HEAD_BYTES]):
        raise UnreadableError(f"holds {other}, not JSON lines in UTF-8")
    return chain([first] if first else [], lines)


def _json_line(line: bytes) -> str:
    return line.decode("utf-8", "backslashreplace").rstrip("\r\n")


_BLANK = object()


def _lines_parsed(lines: Iterable[bytes]) -> Iterator[tuple[Any, bytes]]:
    """Each line's value, or the error that it gave, and the line."""
    for line in lines:
        try:
            yield _BLANK if line.isspace() else parse(line), line
        except RecursionError:
            yield TooDeep(_json_line(line)), line
        except ValueError as error:
            yield error, line


FORMAT = Format("a JSON object on each line", delivered, has_records, rows)
