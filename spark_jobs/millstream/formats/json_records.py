"""JSON: one record a line, or the records of an API's page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import IO, Any

from millstream.contract import Contract
from millstream.formats.record import (
    FIELD_TWICE,
    Delivered,
    Layouts,
    Record,
    layouts,
    named_record,
    of_records,
)
from millstream.json_page import records_under


def delivered_lines(stream: Iterable[bytes], contract: Contract) -> Delivered:
    """Every name that the record of one of the lines has."""
    return of_records(contract, (value for value, _ in _json_parsed(stream)))


def line_records(stream: Iterable[bytes], contract: Contract) -> Iterator[Record]:
    """One record a line."""
    layout = layouts(contract)
    for found, line in _json_parsed(stream):
        raw = partial(_json_line, line)
        if isinstance(found, ValueError):
            yield Record(None, f"not JSON: {found}", raw())
        else:
            yield _json_record(found, layout, raw)


def _json_line(line: bytes) -> str:
    return line.decode("utf-8", "backslashreplace").rstrip("\n")


def _json_parsed(stream: Iterable[bytes]) -> Iterator[tuple[Any, bytes]]:
    """Each line's value, or the error that it gave, and the line."""
    for line in stream:
        try:
            yield json.loads(line, object_pairs_hook=_json_object, parse_float=_Number), line
        except ValueError as error:
            yield error, line


def delivered_page(stream: IO[bytes], contract: Contract, key: str) -> Delivered:
    """Every name that one of the records under `key` has."""
    return of_records(contract, _page_records(stream, key))


def page_records(stream: IO[bytes], contract: Contract, key: str) -> Iterator[Record]:
    """The records of an API's page, a list under `key`."""
    layout = layouts(contract)
    for record in _page_records(stream, key):
        yield _json_record(record, layout, partial(_json_text, record))


def _page_records(stream: IO[bytes], key: str) -> list[Any]:
    content = stream.read()
    if not content:
        # The answer was 204, No Content.
        return []
    page = json.loads(content, object_pairs_hook=_json_object, parse_float=_Number)
    if isinstance(page, _Ambiguous):
        raise ValueError(f"the page has a field twice: {', '.join(name for name, _ in page.pairs)}")
    records = records_under(page, key)
    if records is None:
        raise ValueError(f"no list under '{key}'")
    return records


@dataclass(frozen=True)
class _Ambiguous:
    """A JSON object that has a name twice: which of the values is meant, nobody can say (RFC 8259, 4)."""

    pairs: list[tuple[str, Any]]


class _Number(float):
    """A JSON number with a fraction or an exponent, and how it was written: not every one is a double."""

    def __init__(self, text: str) -> None:
        self.text = text


def _json_object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Ambiguous:
    found = dict(pairs)
    return found if len(found) == len(pairs) else _Ambiguous(pairs)


def _json_text(value: Any) -> str:
    """`value` as JSON, an object that has a name twice as it was."""
    match value:
        case _Ambiguous(pairs=pairs):
            return f"{{{', '.join(f'{json.dumps(name)}: {_json_text(one)}' for name, one in pairs)}}}"
        case dict():
            return _json_text(_Ambiguous(list(value.items())))
        case list():
            return f"[{', '.join(map(_json_text, value))}]"
        case _Number():
            return value.text
        case _:
            return json.dumps(value)


class _FieldTwiceError(ValueError):
    """A field's value has a name twice in it."""


def _json_record(record: Any, layout: Layouts, raw: Callable[[], str]) -> Record:
    if isinstance(record, _Ambiguous):
        return Record(None, FIELD_TWICE, raw())
    if not isinstance(record, dict):
        return Record(None, "not a JSON object", raw())
    try:
        return named_record(record, layout, raw, _as_text)
    except _FieldTwiceError:
        return Record(None, FIELD_TWICE, raw())


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, _Number):
        return value.text
    return json.dumps(value, default=_refuse)


def _refuse(value: Any) -> Any:
    if isinstance(value, _Ambiguous):
        raise _FieldTwiceError
    raise TypeError(f"no JSON: {value!r}")
