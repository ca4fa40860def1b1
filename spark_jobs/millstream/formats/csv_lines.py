"""CSV: a header, then one record a line, but for line ends in quotes."""

from __future__ import annotations

import csv
import io
import json
from collections import deque
from collections.abc import Iterable, Iterator
from typing import IO, NamedTuple

from millstream.contract import Contract
from millstream.errors import SourceDataError
from millstream.formats.record import Delivered, Record, is_unicode


def delivered(stream: IO[bytes], contract: Contract) -> Delivered:
    """The names in the header."""
    found = next(_csv_rows(_text(stream)), [])
    if isinstance(found, _Broken):
        raise ValueError(f"the header is not CSV: {found.error}")
    return Delivered(found, {})


def _text(stream: IO[bytes]) -> io.TextIOWrapper:
    # Bytes that are not UTF-8 become lone surrogates, which `records` reports row by row.
    return io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")


def records(stream: IO[bytes], contract: Contract) -> Iterator[Record]:
    rows = _csv_rows(_text(stream))
    header = next(rows, [])
    if isinstance(header, _Broken):
        raise SourceDataError(f"{contract.dataset}: the header is not CSV: {header.error}: {header.line!r}")
    layout = contract.layout(header)
    places = [None if name is None else header.index(name) for name in layout.delivered]
    besides = [(name, header.index(name)) for name in layout.added]
    reorder = places != list(range(len(header)))
    width = len(header)
    for row in rows:
        if isinstance(row, _Broken):
            yield Record(None, f"not CSV: {row.error}", row.line)
        elif len(row) != width:
            yield Record(None, f"{len(row)} fields where the header has {width}", _shown(row))
        elif not is_unicode(row):
            yield Record(None, "not UTF-8", _shown(row))
        elif reorder:
            more = json.dumps({name: row[place] for name, place in besides}) if besides else None
            yield Record([None if place is None else row[place] for place in places], added=more)
        else:
            yield Record([*row])


class _Broken(NamedTuple):
    """A line that is no record of a CSV file, nor begins one."""

    error: str
    line: str


def _csv_rows(lines: Iterable[str]) -> Iterator[list[str] | _Broken]:
    """Each record's fields. A quote that is not closed, or closed in the wrong place, breaks its own line and
    none of those after it, which it would make a part of its field."""
    held: deque[str] = deque()
    again: deque[str] = deque()
    source = iter(lines)

    def following() -> Iterator[str]:
        while True:
            line = again.popleft() if again else next(source, None)
            if line is None:
                return
            held.append(line)
            yield line

    reader = csv.reader(following(), strict=True)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            broken = held.popleft()
            again.extendleft(reversed(held))
            held.clear()
            # A reader whose lines have come to their end stays there.
            reader = csv.reader(following(), strict=True)
            yield _Broken(str(error), _printable(broken.rstrip("\r\n")))
        else:
            held.clear()
            yield row


def _shown(row: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(row)
    return _printable(text.getvalue())


def _printable(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
