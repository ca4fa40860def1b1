"""What every format is decoded to: records, each with its values or the reason why there are none."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from millstream.contract import Contract, Layout

FIELD_TWICE = "a field comes twice"


class Record(NamedTuple):
    """One decoded record: its values by contract column, or the reason why there are none and its raw text.

    `added` is a JSON object of what the source sent besides, as text.
    """

    values: list[str | None] | None
    error: str | None = None
    raw: str | None = None
    added: str | None = None


class Delivered(NamedTuple):
    """The columns of one landed file: their names there, and for those of the contract's columns that only
    some of its records have, how many lack them."""

    names: list[str]
    lacking: dict[str, int]


Layouts = Callable[[tuple[str, ...]], Layout]


def layouts(contract: Contract) -> Layouts:
    """The contract's layouts, each found out once: most records have the same fields."""
    return lru_cache(maxsize=1000)(contract.layout)


def named_record(
    record: Mapping[str, Any],
    layout_of: Layouts,
    raw: Callable[[], str],
    as_text: Callable[[Any], str | None] = lambda value: value,
) -> Record:
    """A record that names its own fields. One that lacks a field is told from one whose field is null."""
    layout = layout_of(tuple(record))
    if layout.missing:
        return Record(None, f"field missing: {', '.join(layout.missing)}", raw())
    values = [None if name is None else as_text(record[name]) for name in layout.delivered]
    if not is_unicode(values):
        return Record(None, "not Unicode: half of a character", raw())
    more = json.dumps({name: as_text(record[name]) for name in layout.added}) if layout.added else None
    return Record(values, added=more)


def of_records(contract: Contract, records: Iterable[Any]) -> Delivered:
    """Every name that one of the records has, in the order of their first appearance."""
    layout_of = layouts(contract)
    found: dict[str, None] = {}
    lacking: Counter[str] = Counter()
    for record in records:
        if not isinstance(record, dict):
            continue
        names = tuple(record)
        found.update(dict.fromkeys(names))
        layout = layout_of(names)
        # A record that lacks what it may not lack is kept apart as a whole.
        if None in layout.delivered and not layout.missing:
            pairs = zip(contract.column_names, layout.delivered, strict=True)
            lacking.update(column for column, name in pairs if name is None)
    return Delivered(list(found), dict(lacking))


def is_unicode(row: Sequence[str | None]) -> bool:
    joined = "".join(value for value in row if value is not None)
    if joined.isascii():
        return True
    return not any("\ud800" <= character <= "\udfff" for character in joined)
