"""JSON lines: one record a line."""

from __future__ import annotations

import io
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
    Columns,
    Delivered,
    Layouts,
    Piece,
    Record,
    Rows,
    UnreadableError,
    Wanted,
    layouts,
    of_names,
)
from millstream.formats.text_lines import line_blocks

SHOWN = 60
# What is noted of a block's lines takes a few times as much again.
BLOCK_BYTES = 1 << 19


def delivered(stream: IO[bytes], contract: Wanted) -> Delivered:
    """Every name that the record of one of the lines has. Raises: as `has_records`."""
    names = of_names(contract, _named(stream, contract))
    if not names.names:
        stream.seek(0)
        has_records(stream, contract)
    return names


def _named(stream: IO[bytes], contract: Wanted) -> Iterator[tuple[tuple[str, ...], int]]:
    """The names of records, and how many have them, in the order of the first one of them in a block."""
    from millstream.formats.json_blocks import Block, Cutter

    cutter = Cutter(layouts(contract))
    for content in _checked(stream):
        block = Block(content)
        cuts, others = cutter.cut(block)
        groups = [(int(cut.lines[0]), tuple(cut.shape.fields), len(cut.lines)) for cut in cuts]
        values = _lines_parsed(block.line(number) for number in others)
        for number, (value, _) in zip(others.tolist(), values, strict=True):
            if isinstance(value, dict):
                groups.append((number, tuple(value), 1))
        yield from ((names, records) for _, names, records in sorted(groups))


def has_records(stream: IO[bytes], contract: Wanted) -> bool:
    """Whether there is a record; none is what a file of no line, or of blank ones, has.

    Raises: UnreadableError: there are lines, and not one of them is a record.
    """
    first: bytes | None = None
    for value, line in _lines_parsed(_lines(_checked(stream))):
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


def rows(
    stream: IO[bytes], contract: Wanted, piece: Piece | None = None, block_bytes: int = BLOCK_BYTES
) -> Rows:
    """As `records`; many at once where there is no blank line among them."""
    from millstream.formats.json_blocks import Block, Cutter
    from millstream.formats.json_columns import columns_of

    layout_of = layouts(contract)
    cutter = Cutter(layout_of)

    def columns(content: bytes) -> Columns | None:
        block = Block(content)
        if block.blank():
            return None
        cuts, others = cutter.cut(block)
        parsed = _records((block.line(number) for number in others), layout_of)
        beside = [(number, record) for number, record in zip(others.tolist(), parsed, strict=True) if record]
        return columns_of(block, cuts, beside, contract)

    for content in _checked(stream, block_bytes):
        read = columns(content)
        yield from _records(_lines([content]), layout_of) if read is None else [read]


def records(stream: IO[bytes], contract: Wanted) -> Iterator[Record | None]:
    """One record a line; None for a blank one, which keeps its number."""
    return _records(_lines(_checked(stream)), layouts(contract))


def _records(lines: Iterable[bytes], layout_of: Layouts) -> Iterator[Record | None]:
    for value, line in _lines_parsed(lines):
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


def _checked(stream: IO[bytes], block_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    """The lines of a stream that begins as text in UTF-8 does, by the block."""
    blocks = line_blocks(stream, block_bytes)
    first = next(blocks, b"")
    if other := recognised(first[: first.find(b"\n") + 1 or None][:HEAD_BYTES]):
        raise UnreadableError(f"holds {other}, not JSON lines in UTF-8")
    return chain([first] if first else [], blocks)


def _lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    for block in blocks:
        yield from io.BytesIO(block)


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
