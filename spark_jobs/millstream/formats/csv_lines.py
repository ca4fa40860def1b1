"""CSV: a header, then one record a line, but for line ends in quotes.

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

from millstream.contracts.contract import Contract, alike
from millstream.errors import printable
from millstream.file_kinds import HEAD_BYTES, recognised, recognised_markup
from millstream.formats.csv_blocks import plain_reader, regular
from millstream.formats.format import Format
from millstream.formats.record import (
    Delivered,
    Piece,
    Record,
    Rows,
    UnreadableError,
    as_received,
    is_unicode,
)
from millstream.formats.text_lines import BLOCK_BYTES, Lines

# In the order in which they are asked about; the comma first, for what says nothing.
DELIMITERS = (",", ";", "\t", "|")
SHOWN = 200


def delivered(stream: IO[bytes], contract: Contract) -> Delivered:
    """The names in the header. Raises: UnreadableError: no header, or one that cannot be read."""
    header, _ = _opened(Lines(stream), contract)
    return Delivered(header, {})


def has_records(stream: IO[bytes], contract: Contract) -> bool:
    """Whether a line follows the header. Raises: as `delivered`."""
    _, rows = _opened(Lines(stream), contract)
    return any(row is not None for row in rows)


def rows(
    stream: IO[bytes], contract: Contract, piece: Piece | None = None, block_bytes: int = BLOCK_BYTES
) -> Rows:
    """As `records`; many at once where they are plain."""
    lines = Lines(stream, None, block_bytes)
    header, records = _opened(lines, contract)
    if piece:
        lines = Lines(stream, piece, block_bytes)
        records = _Records(lines)
    plain, decoded = plain_reader(header, contract), _decoder(header, contract)
    while block := lines.block():
        found = regular(block) if records.settled else None
        columns = plain(block[: found.size], found.records) if found else None
        if found and columns:
            lines.skip(found.size)
            yield columns
            continue
        end = lines.position + (found.size if found else len(block))
        while lines.position < end or not records.settled:
            yield decoded(next(records))


def records(stream: IO[bytes], contract: Contract, piece: Piece | None = None) -> Iterator[Record | None]:
    """The lines behind the header, of one `piece` or of all; None for a blank one, which keeps its number."""
    header, rows = _opened(Lines(stream), contract)
    return map(_decoder(header, contract), _Records(Lines(stream, piece)) if piece else rows)


def _decoder(header: list[str], contract: Contract) -> Callable[[Row], Record | None]:
    layout = contract.layout(header)
    places = [None if name is None else header.index(name) for name in layout.delivered]
    besides = [(name, header.index(name)) for name in layout.added]
    reorder = places != list(range(len(header)))
    width = len(header)

    def decoded(row: Row) -> Record | None:
        if row is None:
            return None
        if isinstance(row, _Broken):
            return Record(None, f"not CSV: {row.error}", as_received(row.line))
        if len(row) != width:
            return Record(None, f"{len(row)} fields where the header has {width}", _shown(row))
        if not is_unicode(row):
            return Record(None, "not UTF-8", _shown(row))
        if not reorder:
            return Record([*row])
        more = json.dumps({name: row[place] for name, place in besides}) if besides else None
        return Record([None if place is None else row[place] for place in places], added=more)

    return decoded


def pieces(stream: IO[bytes], size: int) -> tuple[Piece, ...]:
    """What lies behind the header, in pieces of about `size` bytes; none if there is no header.

    Reads to the end. Where quotes are not in their places, the reader says where a record ends.
    """
    lines = Lines(stream, block_bytes=min(size, BLOCK_BYTES))
    records = _Records(lines)
    if next((row for row in records if row is not None), None) is None:
        return ()
    noted: list[Piece] = []
    offset, first, number = lines.position, 1, 1
    while block := lines.block():
        found = regular(block) if records.settled else None
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


def _opened(lines: Lines, contract: Contract) -> tuple[list[str], _Records]:
    """The header, which is the first line that is not blank, and the rows behind it."""
    head = lines.head(HEAD_BYTES)
    if other := recognised(head) or recognised_markup(head):
        raise UnreadableError(f"is {other}, not CSV in UTF-8")
    rows = _Records(lines)
    header = next((row for row in rows if row is not None), None)
    if header is None:
        raise UnreadableError("has no header: every line of it is blank")
    line = header.line if isinstance(header, _Broken) else ",".join(header)
    shown = printable(line[:SHOWN])
    if line.lower().startswith("sep="):
        raise UnreadableError(f"begins with a line for Excel ({shown.strip()}), where its header should be")
    if other := _other_delimiter(line, contract):
        raise UnreadableError(
            f"has {_named(other)} between its columns: {shown}. Is that its delimiter? CSV is read with ','"
        )
    if isinstance(header, _Broken):
        raise UnreadableError(f"has a header that is not CSV ({header.error}): {shown}")
    if not is_unicode(header):
        raise UnreadableError(
            f"has a header that is not UTF-8: {shown}. Is it in another encoding, such as Windows-1252? Save "
            "it as UTF-8"
        )
    if "\x00" in line:
        raise UnreadableError(f"has a header with zero bytes: {shown}. It is not text in UTF-8")
    if same := alike(header):
        raise UnreadableError(f"has columns named twice: {same}")
    return header, rows


def _other_delimiter(line: str, contract: Contract) -> str | None:
    """The delimiter by which a header has more of the contract's columns than by a comma."""

    def known(delimiter: str) -> int:
        names = [name.strip('" \r\n') for name in line.split(delimiter)]
        return sum(name is not None for name in contract.layout(names).delivered)

    best = max(DELIMITERS, key=known)
    return best if known(best) > known(",") else None


def _named(delimiter: str) -> str:
    return "tabs" if delimiter == "\t" else repr(delimiter)


class _Records:
    """Each record's fields; None for a line of nothing but white space.

    A quote that is not closed, or closed in the wrong place, breaks its own line and none of those after it,
    which it would make a part of its field.
    """

    def __init__(self, lines: Lines) -> None:
        self._source = lines
        self._held: list[str] = []
        self._again: deque[str] = deque()
        self._failure = ""
        self._reader = self._new_reader()

    @property
    def settled(self) -> bool:
        """Whether no line that was read has to be read again: what follows depends on nothing before it."""
        return not self._again

    def __iter__(self) -> Iterator[Row]:
        return self

    def __next__(self) -> Row:
        held = self._held
        try:
            row = next(self._reader)
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

    def _new_reader(self) -> Iterator[list[str]]:
        return csv.reader(self._following(), strict=True)

    def _following(self) -> Iterator[str]:
        again, held = self._again, self._held
        while True:
            if again and held:
                # Inside quotes the lines that were read already end as they did before, whichever quote it
                # is: to read them again for each would take the square of their number.
                raise csv.Error(self._failure)
            line = again.popleft() if again else next(self._source, None)
            if line is None:
                return
            held.append(line)
            yield line


def _shown(row: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(row)
    return as_received(text.getvalue())


FORMAT = Format(delivered, has_records, rows, pieces)
