"""What every format is decoded to: records, each with its values or the reason why there are none."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import IO, Any, NamedTuple, Protocol

from millstream.errors import printable
from millstream.file_kinds import HEAD_BYTES, kind_of

FIELD_TWICE = "a field comes twice"
MISSING = "field missing"
# Far more than people write, far less than Python's parsers can take, which depends on who calls them.
MOST_NESTED = 200
# Of what a library says of a file that it cannot read.
MOST_SAID = 300


class Layout(NamedTuple):
    """How the columns of one delivery are read.

    delivered: for each column of the contract its name in the delivery, None if it is missing. added: names
    that the contract does not have. missing: columns that are missing and may not be.
    """

    delivered: tuple[str | None, ...]
    added: tuple[str, ...]
    missing: tuple[str, ...]


class Wanted(Protocol):
    """What a format is asked for: a contract, as far as it is about files.

    text_columns: names of the columns whose values are any text. format_options: an instance of the format's
    `options`.
    """

    @property
    def column_names(self) -> list[str]: ...

    @property
    def text_columns(self) -> frozenset[str]: ...

    @property
    def format_name(self) -> str: ...

    @property
    def format_options(self) -> Any: ...

    def layout(self, columns: Iterable[str]) -> Layout: ...


class UnreadableError(ValueError):
    """A file, as a whole, is not what its format says. The message goes on behind the file's name."""


def unreadable(
    stream: IO[bytes], kind: str, beginnings: tuple[bytes, ...], error: BaseException
) -> UnreadableError:
    """What a library said of a file that it could not read, and what that is if it is none of the kind."""
    stream.seek(0)
    head = stream.read(HEAD_BYTES)
    other = "" if head.startswith(beginnings) else f"; it is {kind_of(head)}"
    reason = printable(" ".join(str(error).split())[:MOST_SAID]) or type(error).__name__
    return UnreadableError(f"is not a readable {kind}: {reason}{other}")


class Record(NamedTuple):
    """One decoded record: its values by contract column, or the reason why there are none and its raw text.

    `added` is a JSON object of what the source sent besides, as text.
    """

    values: list[str | None] | None
    error: str | None = None
    raw: str | None = None
    added: str | None = None


class Columns(NamedTuple):
    """Many records at once.

    values: for each column of the contract an Arrow array of strings, None where it is left out. added, raws:
    as `added` and `raw` of `Record`, for each row. errors: for each row why it cannot be trusted, None for a
    good one.
    """

    rows: int
    values: list[Any]
    added: Sequence[str | None] | None
    errors: list[str | None] | None = None
    raws: list[str | None] | None = None


# None stands for a blank line: it is no row, but keeps its number, by which people find the others.
Rows = Iterator[Record | Columns | None]


class Piece(NamedTuple):
    """A part of a landed file that can be read alone: where it lies, in bytes, and the number of its first
    row, from 1 on. It begins and ends where a record does."""

    offset: int
    length: int
    first_row: int


class Origin(NamedTuple):
    """A landed file as its source had it: its path there, its size in bytes, its checksum, its last change in
    UTC where the source says it; and where it lies in the lake, relative to its root."""

    path: str
    size: int
    sha256: str
    modified: datetime | None
    landed: str


class Delivered(NamedTuple):
    """The columns of one landed file: their names there, and for those of the contract's columns that only
    some of its records have, how many lack them."""

    names: list[str]
    lacking: dict[str, int]


class Named(NamedTuple):
    """How a record with certain names is read, or what is wrong with the names."""

    layout: Layout
    wrong: str | None


Layouts = Callable[[tuple[str, ...]], Named]


def layouts(contract: Wanted) -> Layouts:
    """How records are read by their names, each found out once: most records have the same ones."""

    @lru_cache(maxsize=1000)
    def layout_of(names: tuple[str, ...]) -> Named:
        wrong = None
        if not is_unicode(names):
            wrong = "not Unicode: half of a character in the name of a field"
        elif same := alike(names):
            wrong = f"{FIELD_TWICE}: {same}"
        return Named(contract.layout(names), wrong)

    return layout_of


def named_record(
    record: Mapping[str, Any],
    layout_of: Layouts,
    raw: Callable[[], str],
    as_text: Callable[[Any], str | None] = lambda value: value,
) -> Record:
    """A record that names its own fields. One that lacks a field is told from one whose field is null."""
    layout, wrong = layout_of(tuple(record))
    if wrong:
        return Record(None, wrong, raw())
    if layout.missing:
        return Record(None, f"{MISSING}: {', '.join(layout.missing)}", raw())
    values = [None if name is None else as_text(record[name]) for name in layout.delivered]
    if not is_unicode(values):
        return Record(None, "not Unicode: half of a character", raw())
    more = json.dumps({name: as_text(record[name]) for name in layout.added}) if layout.added else None
    return Record(values, added=more)


def of_records(contract: Wanted, records: Iterable[Any]) -> Delivered:
    """Every name that one of the records has, in the order of their first appearance."""
    return of_names(contract, ((tuple(record), 1) for record in records if isinstance(record, dict)))


def of_names(contract: Wanted, groups: Iterable[tuple[tuple[str, ...], int]]) -> Delivered:
    """As `of_records`, of the names of each record, or of many with the same ones and how many these are."""
    layout_of = layouts(contract)
    known_names: dict[str, None] = {}
    lacking: Counter[str] = Counter()
    for names, records in groups:
        layout, wrong = layout_of(names)
        if wrong:
            continue
        known_names.update(dict.fromkeys(names))
        # A record that lacks what it may not lack is kept apart as a whole.
        if None in layout.delivered and not layout.missing:
            pairs = zip(contract.column_names, layout.delivered, strict=True)
            lacking.update({column: records for column, name in pairs if name is None})
    return Delivered(list(known_names), dict(lacking))


def added_as_json(added: Mapping[str, Sequence[str | None]]) -> list[str] | None:
    """The `added` of each row, from the values of each column; None without any."""
    if not added:
        return None
    return [json.dumps(dict(zip(added, row, strict=True))) for row in zip(*added.values(), strict=True)]


def is_unicode(row: Sequence[str | None]) -> bool:
    """Whether all texts of the row can be written as UTF-8."""
    joined = "".join(value for value in row if value is not None)
    if joined.isascii():
        return True
    return not any("\ud800" <= character <= "\udfff" for character in joined)


def as_received(text: str) -> str:
    """`text` with its bytes that were not UTF-8 as \\xeb, and nothing else changed."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def alike(names: Iterable[str]) -> str:
    """Those of `names` that occur twice or differ only in case, which Spark ignores; '' if there are none."""
    by_letters: dict[str, list[str]] = {}
    for name in names:
        by_letters.setdefault(name.lower(), []).append(name)
    doubled = [group for group in by_letters.values() if len(group) > 1]
    shown = ", ".join(repr(name) for group in doubled for name in dict.fromkeys(group))
    by_case = any(len(set(group)) > 1 for group in doubled)
    return f"{shown} (Spark takes no notice of case)" if by_case else shown
