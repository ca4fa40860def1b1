"""Lists and objects in JSON texts: a nested type that reads all of them, or `json`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from millstream.contracts.nested import FIELD, StructOf
from millstream.contracts.types import MOST_LEVELS
from millstream.formats.json_values import parse, text_of
from millstream.formats.record import alike

# Of more names, or many more than one object has, objects are maps.
MOST_FIELDS, MANY_MORE = 40, 3


@dataclass(frozen=True)
class Shape:
    """A type, what is not sure about it, and whether some objects lack fields that others have."""

    kind: str
    unsure: str = ""
    optional: bool = False


def shape_of(texts: Collection[str], leaf: Callable[[Iterable[str | None]], str]) -> Shape | None:
    """The type of texts that all are JSON lists or objects; None where they are not. `leaf` is the type of
    the texts in them."""
    if not all(text.lstrip()[:1] in ("[", "{") for text in texts):
        return None
    try:
        values = [parse(text) for text in texts]
    except (ValueError, RecursionError):
        return None
    seen = _Seen(leaf)
    kind = seen.kind(values, MOST_LEVELS) or "json"
    lacking = f"not in every object: {', '.join(seen.lacking)}" if seen.lacking else ""
    doubts = [doubt for doubt in (seen.doubt, lacking) if doubt]
    return Shape(kind, "; ".join(doubts), bool(seen.lacking))


class _Seen:
    def __init__(self, leaf: Callable[[Iterable[str | None]], str]) -> None:
        self._leaf = leaf
        self.lacking: dict[str, None] = {}
        self.doubt = ""

    def kind(self, values: Iterable[Any], levels: int) -> str | None:
        """A type of all `values`; None where only what they are in has one, as json."""
        known = [value for value in values if value is not None]
        if all(isinstance(value, list) for value in known) and known:
            element = self.kind((one for value in known for one in value), levels - 1) if levels else None
            return f"array<{element}>" if element else "json"
        if all(isinstance(value, dict) for value in known) and known:
            return self._of_objects(known, levels - 1) if levels else "json"
        if any(not isinstance(value, str | bool | int | float) for value in known):
            # A text comes without its quotes, and is read as json itself.
            return "json" if all(_is_json(value) for value in known if isinstance(value, str)) else None
        return self._leaf(text_of(value) for value in known)

    def _of_objects(self, objects: list[dict[str, Any]], levels: int) -> str:
        names = list(dict.fromkeys(name for one in objects for name in one))
        if not names:
            self.doubt = "no field of the objects was seen"
            return "json"
        found = {name: self.kind((one.get(name) for one in objects), levels) for name in names}
        kinds = {name: kind for name, kind in found.items() if kind is not None}
        if len(kinds) < len(names):
            return "json"
        some = {name for name in names if any(name not in one for one in objects)}
        alike_kinds = len({*kinds.values()}) == 1
        many = len(names) > min(MOST_FIELDS, MANY_MORE * max(map(len, objects)))
        if many or (alike_kinds and not all(objects)) or (struct := struct_of(kinds)) == "json":
            every = (value for one in objects for value in one.values())
            value = self.kind(every, levels)
            return f"map<string,{value}>" if value else "json"
        if some and alike_kinds:
            self.doubt = f"or map<string,{kinds[names[0]]}>?"
        self.lacking |= dict.fromkeys(sorted(some))
        return struct


def _is_json(text: str) -> bool:
    try:
        parse(text)
    except (ValueError, RecursionError):
        return False
    return True


def struct_of(fields: Mapping[str, str]) -> str:
    """A struct with these fields, or `json` if there is none, or not with their names."""
    if not fields or alike(fields) or not all(map(FIELD.fullmatch, fields)):
        return "json"
    return str(StructOf(tuple(fields.items())))
