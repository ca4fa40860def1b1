"""JSON: one record a line, or the records of an API's page."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import IO, Any

from millstream.contracts.contract import Contract
from millstream.contracts.source import HttpSource
from millstream.errors import printable
from millstream.file_kinds import HEAD_BYTES, recognised
from millstream.formats.format import Format
from millstream.formats.json_page import records_under
from millstream.formats.record import (
    FIELD_TWICE,
    MOST_NESTED,
    Delivered,
    Layouts,
    Piece,
    Record,
    UnreadableError,
    layouts,
    named_record,
    of_records,
)
from millstream.formats.text_lines import whole_lines

NESTED = f"nested deeper than {MOST_NESTED} levels"
SHOWN = 60
# Python converts whole numbers of up to 4,300 digits.
_LONGEST_INTEGER = 4000


def delivered_lines(stream: IO[bytes], contract: Contract) -> Delivered:
    """Every name that the record of one of the lines has. Raises: as `lines_have_records`."""
    found = of_records(contract, (value for value, _ in _lines_parsed(_checked(stream))))
    if not found.names:
        stream.seek(0)
        lines_have_records(stream, contract)
    return found


def lines_have_records(stream: IO[bytes], contract: Contract) -> bool:
    """Whether there is a record; none is what a file of no line, or of blank ones, has.

    Raises: UnreadableError: there are lines, and not one of them is a record.
    """
    first: bytes | None = None
    for value, line in _lines_parsed(_checked(stream)):
        if isinstance(value, dict | _Ambiguous | _TooDeep):
            return True
        if first is None and value is not _BLANK:
            first = line
    if first is None:
        return False
    shown = printable(_json_line(first)[:SHOWN])
    several = first.lstrip()[:1] in (b"{", b"[")
    cause = "Is it one JSON text over several lines? JSON lines have one record a line" if several else ""
    raise UnreadableError(f"has no line that is a JSON object; the first is: {shown}. {cause}".rstrip(". "))


def line_records(
    stream: IO[bytes], contract: Contract, piece: Piece | None = None
) -> Iterator[Record | None]:
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
            yield _json_record(value, layout_of, raw)


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
            yield _BLANK if line.isspace() else _parsed(line), line
        except RecursionError:
            yield _TooDeep(_json_line(line)), line
        except ValueError as error:
            yield error, line


LINES = Format(delivered_lines, lines_have_records, line_records)


def value_record(value: bytes, beside: Mapping[str, str], layout_of: Layouts) -> Record:
    """The record that the value of a message is, with the fields that came `beside` it."""
    raw = partial(_json_line, value)
    try:
        parsed = _parsed(value)
    except RecursionError:
        return Record(None, NESTED, raw())
    except ValueError as error:
        return Record(None, f"not JSON: {error}", raw())
    if isinstance(parsed, dict):
        if twice := sorted(parsed.keys() & beside.keys()):
            return Record(None, f"{FIELD_TWICE}: {', '.join(twice)}", raw())
        parsed |= beside
    return _json_record(parsed, layout_of, raw)


def delivered_page(stream: IO[bytes], contract: Contract) -> Delivered:
    """Every name that one of the records has. Raises: UnreadableError: there is no list of them."""
    return of_records(contract, values_of(stream.read(), _records_key(contract)))


def page_has_records(stream: IO[bytes], contract: Contract) -> bool:
    """Whether there is a record. Raises: as `delivered_page`."""
    return bool(values_of(stream.read(), _records_key(contract)))


def page_records(stream: IO[bytes], contract: Contract, piece: Piece | None = None) -> Iterator[Record]:
    """The records of an API's page."""
    layout_of = layouts(contract)
    for record in values_of(stream.read(), _records_key(contract)):
        yield _json_record(record, layout_of, partial(as_written, record))


PAGE = Format(delivered_page, page_has_records, page_records)


def _records_key(contract: Contract) -> str:
    assert isinstance(contract.source, HttpSource)
    return contract.source.records_key


def values_of(content: bytes, key: str) -> list[Any]:
    """The values in the list that an API's page has under `key`. Raises: UnreadableError: there is none."""
    if not content:
        # The answer was 204, No Content.
        return []
    try:
        parsed = page(content, key)
    except ValueError as error:
        raise UnreadableError(f"is not JSON: {error}") from error
    records = records_under(parsed, key)
    if records is None:
        raise UnreadableError(f"has no list under {key!r}")
    return records


def page(body: bytes, key: str) -> Any:
    """An API's page as a JSON value; a record under `key` that is nested too deep for Python is no dict.

    Raises: ValueError: it is not JSON, or has a name twice.
    """
    text = body.decode(json.detect_encoding(body))
    try:
        parsed = _parsed(text)
    except RecursionError:
        # A page is an object, its records are a list in it, or in what lies below a path of names.
        parsed = _parsed_but_deepest(text, 3 + key.count("."))
    if isinstance(parsed, _Ambiguous):
        raise ValueError(f"the page has a field twice: {', '.join(name for name, _ in parsed.pairs)}")
    return parsed


# Strings are matched as a whole, for the brackets in them.
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)


def _parsed_but_deepest(text: str, record_depth: int) -> Any:
    """`text` parsed with its records, values at `record_depth`, that are nested too deep as `_TooDeep`."""
    mark = secrets.token_hex(16)
    cut: dict[str, str] = {}
    parts, kept, depth, start, deepest = [], 0, 0, 0, 0
    for token in _TOKEN.finditer(text):
        if token[0] in "[{":
            depth += 1
            if depth == record_depth:
                start, deepest = token.start(), 0
            deepest = max(deepest, depth)
        elif token[0] in "]}":
            if depth == record_depth and deepest > record_depth + MOST_NESTED:
                name = f"{mark}-{len(cut)}"
                cut[name] = text[start : token.end()]
                parts += [text[kept:start], json.dumps(name)]
                kept = token.end()
            depth -= 1
    try:
        parsed = _parsed("".join([*parts, text[kept:]]))
    except RecursionError:
        raise ValueError(NESTED) from None
    return _put_back(parsed, cut)


def _put_back(parsed: Any, cut: dict[str, str]) -> Any:
    def put(value: Any) -> Any:
        return _TooDeep(cut[value]) if isinstance(value, str) and value in cut else value

    match parsed:
        case dict():
            return {name: _put_back(value, cut) for name, value in parsed.items()}
        case list():
            return [put(value) for value in parsed]
        case _:
            return parsed


@dataclass(frozen=True)
class _Ambiguous:
    """A JSON object that has a name twice: which of the values is meant, nobody can say (RFC 8259, 4)."""

    pairs: list[tuple[str, Any]]


@dataclass(frozen=True)
class _TooDeep:
    """A JSON value that is nested too deep, as it was written."""

    text: str


class _Number(float):
    """A JSON number and how it was written: not every one is a double."""

    def __init__(self, text: str) -> None:
        self.text = text


def _parsed(text: str | bytes) -> Any:
    return json.loads(text, object_pairs_hook=_object, parse_float=_Number, parse_int=_integer)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Ambiguous:
    found = dict(pairs)
    return found if len(found) == len(pairs) else _Ambiguous(pairs)


def _integer(text: str) -> int | _Number:
    return int(text) if len(text) < _LONGEST_INTEGER else _Number(text)


class _Written(str):
    """A part of a JSON text that is written already."""


def as_written(value: Any) -> str:
    """`value` as JSON, numbers and an object that has a name twice as they were."""
    parts: list[str] = []
    # What is to come, the last first; not by recursion, of which deep values need too much.
    todo = [value]
    while todo:
        match todo.pop():
            case _Written() as written:
                parts.append(written)
            case _Number(text=text) | _TooDeep(text=text):
                parts.append(text)
            case dict() as found:
                todo.append(_Ambiguous(list(found.items())))
            case _Ambiguous(pairs=pairs):
                members = [(_Written(f"{json.dumps(name)}: "), one) for name, one in pairs]
                todo += reversed(_listed("{", members, "}"))
            case list() as found:
                todo += reversed(_listed("[", [(one,) for one in found], "]"))
            case other:
                parts.append(json.dumps(other))
    return "".join(parts)


def _listed(before: str, members: Iterable[tuple[Any, ...]], after: str) -> list[Any]:
    listed: list[Any] = [_Written(before)]
    for number, member in enumerate(members):
        listed += [*([_Written(", ")] if number else []), *member]
    return [*listed, _Written(after)]


class _NotOneReadingError(ValueError):
    """A field's value has a name twice in it, or is nested too deep; the message says which."""


def _json_record(record: Any, layout_of: Layouts, raw: Callable[[], str]) -> Record:
    if isinstance(record, _TooDeep):
        return Record(None, NESTED, record.text)
    if isinstance(record, _Ambiguous):
        return Record(None, FIELD_TWICE, raw())
    if not isinstance(record, dict):
        return Record(None, "not a JSON object", raw())
    try:
        return named_record(record, layout_of, raw, _as_text)
    except _NotOneReadingError as error:
        return Record(None, str(error), raw())


def _as_text(value: Any) -> str | None:
    match value:
        case None | str():
            return value
        case _Number():
            return value.text
        case dict() | list() | _Ambiguous():
            _check_nested(value)
            return as_written(value)
        case _:
            return json.dumps(value)


def _check_nested(value: Any) -> None:
    level = [value]
    for _ in range(MOST_NESTED):
        if not level:
            return
        if any(isinstance(one, _Ambiguous) for one in level):
            raise _NotOneReadingError(FIELD_TWICE)
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, dict | list | _Ambiguous)
        ]
    raise _NotOneReadingError(NESTED)
