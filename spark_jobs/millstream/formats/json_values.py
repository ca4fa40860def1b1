"""JSON values as they were written: numbers with their digits, and what has no single reading told apart."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from millstream.formats.json_page import records_under
from millstream.formats.record import (
    FIELD_TWICE,
    MOST_NESTED,
    Layouts,
    Record,
    UnreadableError,
    named_record,
)

NESTED = f"nested deeper than {MOST_NESTED} levels"
# Python converts whole numbers of up to 4,300 digits.
_LONGEST_INTEGER = 4000


def values_of(content: bytes, key: str | None) -> list[Any]:
    """The values in the list that a document has under `key`, or that it is.

    Raises: UnreadableError: there is none.
    """
    if not content:
        # The answer was 204, No Content.
        return []
    try:
        parsed = page(content, key)
    except ValueError as error:
        raise UnreadableError(f"is not JSON: {error}") from error
    records = records_under(parsed, key)
    if records is None:
        where = (
            "is no list; is its path to the records missing" if key is None else f"has no list under {key!r}"
        )
        raise UnreadableError(where)
    return records


def page(body: bytes, key: str | None) -> Any:
    """An API's page as a JSON value; a record under `key` that is nested too deep for Python is no dict.

    Raises: ValueError: it is not JSON, or has a name twice.
    """
    text = body.decode(json.detect_encoding(body))
    try:
        parsed = parse(text)
    except RecursionError:
        # A page is an object, its records are a list in it, or in what lies below a path of names.
        parsed = _parsed_but_deepest(text, 2 if key is None else 3 + key.count("."))
    if isinstance(parsed, Ambiguous):
        raise ValueError(f"the page has a field twice: {', '.join(name for name, _ in parsed.pairs)}")
    return parsed


# Strings are matched as a whole, for the brackets in them.
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)


def _parsed_but_deepest(text: str, record_depth: int) -> Any:
    """`text` parsed with its records, values at `record_depth`, that are nested too deep as `TooDeep`."""
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
        parsed = parse("".join([*parts, text[kept:]]))
    except RecursionError:
        raise ValueError(NESTED) from None
    return _put_back(parsed, cut)


def _put_back(parsed: Any, cut: dict[str, str]) -> Any:
    def put(value: Any) -> Any:
        return TooDeep(cut[value]) if isinstance(value, str) and value in cut else value

    match parsed:
        case dict():
            return {name: _put_back(value, cut) for name, value in parsed.items()}
        case list():
            return [put(value) for value in parsed]
        case _:
            return parsed


@dataclass(frozen=True)
class Ambiguous:
    """A JSON object that has a name twice: which of the values is meant, nobody can say (RFC 8259, 4)."""

    pairs: list[tuple[str, Any]]


@dataclass(frozen=True)
class TooDeep:
    """A JSON value that is nested too deep, as it was written."""

    text: str


class Number(float):
    """A JSON number and how it was written: not every one is a double."""

    def __init__(self, text: str) -> None:
        self.text = text


def parse(text: str | bytes, parse_constant: Callable[[str], Any] | None = None) -> Any:
    """`parse_constant` reads NaN and Infinity, which JSON does not have; by default they are such floats."""
    return json.loads(
        text,
        object_pairs_hook=_object,
        parse_float=Number,
        parse_int=_integer,
        parse_constant=parse_constant,
    )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | Ambiguous:
    found = dict(pairs)
    return found if len(found) == len(pairs) else Ambiguous(pairs)


def _integer(text: str) -> int | Number:
    return int(text) if len(text) < _LONGEST_INTEGER else Number(text)


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
            case Number(text=text) | TooDeep(text=text):
                parts.append(text)
            case dict() as found:
                todo.append(Ambiguous(list(found.items())))
            case Ambiguous(pairs=pairs):
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


def json_record(record: Any, layout_of: Layouts, raw: Callable[[], str]) -> Record:
    if isinstance(record, TooDeep):
        return Record(None, NESTED, record.text)
    if isinstance(record, Ambiguous):
        return Record(None, FIELD_TWICE, raw())
    if not isinstance(record, dict):
        return Record(None, "not a JSON object", raw())
    try:
        return named_record(record, layout_of, raw, text_of)
    except _NotOneReadingError as error:
        return Record(None, str(error), raw())


def text_of(value: Any) -> str | None:
    match value:
        case None | str():
            return value
        case Number():
            return value.text
        case dict() | list() | Ambiguous():
            _check_nested(value)
            return as_written(value)
        case _:
            return json.dumps(value)


def _check_nested(value: Any) -> None:
    level = [value]
    for _ in range(MOST_NESTED):
        if not level:
            return
        if any(isinstance(one, Ambiguous) for one in level):
            raise _NotOneReadingError(FIELD_TWICE)
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, dict | list | Ambiguous)
        ]
    raise _NotOneReadingError(NESTED)
