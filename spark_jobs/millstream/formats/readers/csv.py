"""CSV: one record a line, but for line ends in quotes, below a header that names the columns, or without one.

A quote that is never closed would make the rest of the file a part of its field: put in front of one tail
number, it cost 999 flights that nothing counted. So a quote must be closed, and in front of a delimiter;
where it is not, the line on which the record began is a row that cannot be read, and reading goes on with
the next line. A value like `"ab"c`, which Python's reader would take for `abc`, is refused.
"""

from __future__ import annotations

import csv
import io
import json
from collections import deque
from collections.abc import Callable, Iterator
from typing import IO, NamedTuple

from millstream.errors import printable
from millstream.file_kinds import HEAD_BYTES, recognised, recognised_markup
from millstream.formats.csv_blocks import plain_reader, regular
from millstream.formats.csv_dialect import Options
from millstream.formats.format import Format
from millstream.formats.record import (
    Delivered,
    Piece,
    Record,
    Rows,
    UnreadableError,
    Wanted,
    alike,
    as_received,
    is_unicode,
)
from millstream.formats.text_lines import BLOCK_BYTES, Lines

# In the order in which they are asked about; the comma first, for what says nothing.
DELIMITERS = (",", ";", "\t", "|")
SHOWN = 200


def delivered(stream: IO[bytes], contract: Wanted) -> Delivered:
    """The names in the header. Raises: UnreadableError: no header, or one that cannot be read."""
    header, _ = _opened(stream, contract)
    return Delivered(header, {})


def has_records(stream: IO[bytes], contract: Wanted) -> bool:
    """Whether a line follows the header. Raises: as `delivered`."""
    _, rows = _opened(stream, contract)
    return any(row is not None for row in rows)


def rows(
    stream: IO[bytes], contract: Wanted, piece: Piece | None = None, block_bytes: int = BLOCK_BYTES
) -> Rows:
    """As `records`; many at once where they are plain."""
    dialect: Options = contract.format_options
    header, records = _opened(stream, contract, block_bytes)
    if piece:
        records = _Records(Lines(stream, piece, block_bytes), dialect)
    lines = records.lines
    plain, decoded = plain_reader(header, contract), _decoder(header, contract)
    while block := lines.block():
        found = regular(block, dialect) if records.settled else None
        columns = plain(block[: found.size], found.records) if found else None
        if found and columns:
            lines.skip(found.size)
            yield columns
            continue
        end = lines.position + (found.size if found else len(block))
        while lines.position < end or not records.settled:
            yield decoded(next(records))


def records(stream: IO[bytes], contract: Wanted, piece: Piece | None = None) -> Iterator[Record | None]:
    """The lines behind the header, of one `piece` or of all; None for one that is blank or a comment, which
    keeps its number."""
    header, rows = _opened(stream, contract)
    if piece:
        rows = _Records(Lines(stream, piece), contract.format_options)
    return map(_decoder(header, contract), rows)


def _decoder(header: list[str], contract: Wanted) -> Callable[[Row], Record | None]:
    dialect: Options = contract.format_options
    layout = contract.layout(header)
    places = [None if name is None else header.index(name) for name in layout.delivered]
    besides = [(name, header.index(name)) for name in layout.added]
    reorder = places != list(range(len(header)))

    def decoded(row: Row) -> Record | None:
        if row is None:
            return None
        if isinstance(row, _Broken):
            return Record(None, f"not CSV: {row.error}", as_received(row.line))
        if wrong := _wrong(row, len(header), dialect):
            return Record(None, wrong, _shown(row, dialect))
        if not reorder:
            return Record([*row[: len(header)]])
        more = json.dumps({name: row[place] for name, place in besides}) if besides else None
        return Record([None if place is None else row[place] for place in places], added=more)

    return decoded


def _wrong(row: list[str], width: int, dialect: Options) -> str | None:
    if dialect.trailing_delimiter and (len(row) < 2 or row[-1]):
        return "no delimiter at the end of the line"
    fields = len(row) - dialect.trailing_delimiter
    if fields != width:
        return f"{fields} fields where the {'header' if dialect.header is True else 'contract'} has {width}"
    return None if is_unicode(row) else f"not {dialect.encoding_name}"


def _shown(row: list[str], dialect: Options) -> str:
    if dialect.quote is None:
        return as_received(dialect.delimiter.join(row))
    text = io.StringIO()
    dialect.writer(text).writerow(row)
    return as_received(text.getvalue())


def pieces(stream: IO[bytes], contract: Wanted, size: int) -> tuple[Piece, ...]:
    """What lies behind the header, in pieces of about `size` bytes; none if there is no header, or the bytes
    are not those of UTF-8.

    Reads to the end. Where quotes are not in their places, the reader says where a record ends.
    """
    dialect: Options = contract.format_options
    if not dialect.is_utf_8:
        return ()
    records = _Records(Lines(stream, block_bytes=min(size, BLOCK_BYTES)), dialect)
    lines = records.lines
    if records.skip_to_rows() is None:
        return ()
    noted: list[Piece] = []
    offset, first, number = lines.position, 1, 1
    while block := lines.block():
        found = regular(block, dialect) if records.settled else None
        if found:
            number += found.records
            lines.skip(found.size)
        else:
            end = lines.position + len(block)
            while lines.position < end or not records.settled:
                next(records)
                number += 1
        if lines.position - offset >= size:
            noted.append(Piece(offset, lines.position - offset, first))
            offset, first = lines.position, number
    if lines.position > offset:
        noted.append(Piece(offset, lines.position - offset, first))
    return tuple(noted)


class _Broken(NamedTuple):
    """A line that is no record of a CSV file, nor begins one."""

    error: str
    line: str


Row = list[str] | _Broken | None


def _opened(
    stream: IO[bytes], contract: Wanted, block_bytes: int = BLOCK_BYTES
) -> tuple[list[str], _Records]:
    """The names of the columns, and the rows behind what stands before them."""
    dialect: Options = contract.format_options
    lines = Lines(dialect.as_utf_8(stream), None, block_bytes)
    head = lines.head(HEAD_BYTES)
    if other := recognised(head) or recognised_markup(head):
        raise UnreadableError(f"is {other}, not CSV in {dialect.encoding_name}")
    rows = _Records(lines, dialect)
    header = rows.skip_to_rows()
    if dialect.header is False:
        return contract.column_names, rows
    if isinstance(dialect.header, tuple):
        return [*dialect.header], rows
    if header is None:
        raise UnreadableError("has no header: every line of it is blank")
    return _names(header, contract), rows


def _names(header: list[str] | _Broken, contract: Wanted) -> list[str]:
    dialect: Options = contract.format_options
    line = header.line if isinstance(header, _Broken) else dialect.delimiter.join(header)
    shown = printable(line[:SHOWN])
    if line.lower().startswith("sep="):
        raise UnreadableError(f"begins with a line for Excel ({shown.strip()}), where its header should be")
    if other := _other_delimiter(line, contract):
        raise UnreadableError(
            f"has {_named(other)} between its columns: {shown}. Is that its delimiter? The contract says "
            f"{_named(dialect.delimiter)}"
        )
    if isinstance(header, _Broken):
        raise UnreadableError(f"has a header that is not CSV ({header.error}): {shown}")
    if not is_unicode(header):
        raise UnreadableError(
            f"has a header that is not {dialect.encoding_name}: {shown}. Is it in another encoding, such as "
            "Windows-1252? Save it as UTF-8, or name its encoding in the contract"
        )
    if "\x00" in line:
        raise UnreadableError(
            f"has a header with zero bytes: {shown}. It is not text in {dialect.encoding_name}"
        )
    if dialect.trailing_delimiter:
        if header[-1]:
            raise UnreadableError(f"has a header without the delimiter at its end: {shown}")
        header = header[:-1]
    if same := alike(header):
        raise UnreadableError(f"has columns named twice: {same}")
    return header


def _other_delimiter(line: str, contract: Wanted) -> str | None:
    """The delimiter by which a header has more of the contract's columns than by its own."""
    own: str = contract.format_options.delimiter

    def known(delimiter: str) -> int:
        names = [name.strip('" \r\n') for name in line.split(delimiter)]
        return sum(name is not None for name in contract.layout(names).delivered)

    best = max(DELIMITERS, key=known)
    return best if known(best) > known(own) else None


def _named(delimiter: str) -> str:
    return "tabs" if delimiter == "\t" else repr(delimiter)


class _Records:
    """Each record's fields; None for a line of nothing but white space.

    A quote that is not closed, or closed in the wrong place, breaks its own line and none of those after it,
    which it would make a part of its field.
    """

    def __init__(self, lines: Lines, dialect: Options) -> None:
        self.lines = lines
        self._dialect = dialect
        self._held: list[str] = []
        self._again: deque[str] = deque()
        self._failure = ""
        self._reader = self._new_reader()

    @property
    def settled(self) -> bool:
        """Whether no line that was read has to be read again: what follows depends on nothing before it."""
        return not self._again

    def skip_to_rows(self) -> list[str] | _Broken | None:
        """Go behind what stands before the rows; the header, if there is one."""
        for _ in range(self._dialect.skip_lines):
            next(self.lines, None)
        if self._dialect.header is not True:
            return []
        return next((row for row in self if row is not None), None)

    def __iter__(self) -> Iterator[Row]:
        return self

    def __next__(self) -> Row:
        held = self._held
        if self._dialect.comment and self._skip_comment(self._dialect.comment):
            return None
        try:
            row: list[str] = next(self._reader)
        except csv.Error as error:
            self._failure = str(error)
            self._again.extendleft(reversed(held[1:]))
            broken = _Broken(self._failure, held[0].rstrip("\r\n"))
            held.clear()
            # A reader whose lines have come to their end stays there.
            self._reader = self._new_reader()
            return broken
        blank = len(row) <= 1 and not held[0].strip(" \t\r\n")
        held.clear()
        return None if blank else row

    def _skip_comment(self, mark: str) -> bool:
        """Whether the next line was one; it is handed to nobody."""
        line = self._again.popleft() if self._again else next(self.lines, None)
        if line is None or line.startswith(mark):
            return line is not None
        self._again.appendleft(line)
        return False

    def _new_reader(self) -> Iterator[list[str]]:
        reader: Iterator[list[str]] = self._dialect.reader(self._following())
        return reader

    def _following(self) -> Iterator[str]:
        again, held = self._again, self._held
        while True:
            if again and held:
                # Inside quotes the lines that were read already end as they did before, whichever quote it
                # is: to read them again for each would take the square of their number.
                raise csv.Error(self._failure)
            line = again.popleft() if again else next(self.lines, None)
            if line is None:
                return
            held.append(line)
            yield line


FORMAT = Format(
    "lines, below a header or without one",
    delivered,
    has_records,
    rows,
    pieces,
    nests=False,
    options=Options,
)
