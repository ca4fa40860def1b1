"""Types with types in them, in Spark SQL's words: `array<T>`, `struct<name:T,…>` and `map<K,T>`.

Here they are only taken apart; `contracts.types` says what may stand in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_NESTED = re.compile(r"(array|struct|map)\s*<(.*)>", re.DOTALL)


@dataclass(frozen=True)
class ArrayOf:
    element: str

    def __str__(self) -> str:
        return f"array<{self.element}>"


@dataclass(frozen=True)
class StructOf:
    """`fields`: name and type of each, in their order."""

    fields: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return f"struct<{','.join(f'{name}:{type_}' for name, type_ in self.fields)}>"


@dataclass(frozen=True)
class MapOf:
    key: str
    value: str

    def __str__(self) -> str:
        return f"map<{self.key},{self.value}>"


Nested = ArrayOf | StructOf | MapOf


@lru_cache(maxsize=10_000)
def nested(type_: str) -> Nested | None:
    """The outermost of the types that `type_` is made of; None for a type without any in it.

    Raises: ValueError: it begins as one of these, and is none.
    """
    found = _NESTED.fullmatch(type_.strip())
    if found is None:
        return None
    word, inside = found[1], [part.strip() for part in _parts(found[2])]
    match word, inside:
        case "array", [element] if element:
            return ArrayOf(element)
        case "map", [key, value] if key and value:
            return MapOf(key, value)
        case "struct", _:
            return StructOf(tuple(map(_field, inside)))
    expected = "one type: array<int>" if word == "array" else "the types of keys and values: map<string,int>"
    raise ValueError(f"{type_}: expected {expected}")


def _field(text: str) -> tuple[str, str]:
    name, _, type_ = (part.strip() for part in text.partition(":"))
    if not FIELD.fullmatch(name) or not type_:
        raise ValueError(
            f"struct: expected its fields as name:type, struct<id:int,tags:array<string>>, found {text!r}; "
            "a name has letters, digits and _"
        )
    return name, type_


def _parts(text: str) -> Iterator[str]:
    """What stands between the commas that are in no brackets."""
    depth, begin = 0, 0
    for place, character in enumerate(text):
        depth += (character in "<(") - (character in ">)")
        if character == "," and depth == 0:
            yield text[begin:place]
            begin = place + 1
    yield text[begin:]
