"""The types that a contract may give a column, which of them is wider than which, and what a column may say
of how its values are written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, NamedTuple

from pydantic import AfterValidator

from millstream.contracts.nested import ArrayOf, MapOf, Nested, StructOf, nested
from millstream.formats.record import alike

MOST_DIGITS = 38
# Deeper ones are better told apart in a transform, from `json`.
MOST_LEVELS = 8
# What may name the values of a map: types of which two equal values are written alike.
KEYS = ("string", "smallint", "int", "bigint", "date")


@dataclass(frozen=True)
class Kind:
    """reads, example: in words, for the page on contracts. options: fields of a column that mean something.
    wider: the kinds that hold every value of it, and more. digits: how many a value has before the point."""

    reads: str
    example: str = ""
    options: tuple[str, ...] = ()
    wider: tuple[str, ...] = ()
    digits: int | None = None


_NUMBER = ("decimal_mark", "thousands_mark")
_WHOLE = "digits with or without a sign"
KINDS = {
    "string": Kind("everything, as it was written"),
    "smallint": Kind(
        f"{_WHOLE}; -2¹⁵ to 2¹⁵-1", "`-7`", _NUMBER, ("int", "bigint", "decimal", "float", "double"), 5
    ),
    "int": Kind(f"{_WHOLE}; -2³¹ to 2³¹-1", "`42`, `+007`", _NUMBER, ("bigint", "decimal", "double"), 10),
    "bigint": Kind(f"{_WHOLE}; -2⁶³ to 2⁶³-1", "`42`", _NUMBER, ("decimal",), 19),
    "decimal(p,s)": Kind(
        "a decimal number of at most p digits, s of them behind the point, exactly; more digits may follow "
        "if they are zeros. With an exponent from -5 to 99",
        "`12.50`, `-1e3`",
        _NUMBER,
        ("decimal",),
    ),
    "float": Kind("as `double`, as the nearest float", "`1.50`", _NUMBER, ("double",)),
    "double": Kind(
        "a decimal number with or without an exponent, as the nearest double; `NaN`; `inf` and `infinity` in "
        "any case, with or without a sign. A number too large for a double is refused",
        "`1.50`, `.5`, `-1e-3`, `Infinity`",
        _NUMBER,
    ),
    "boolean": Kind(
        "`true`, `t`, `yes`, `y`, `1`; `false`, `f`, `no`, `n`, `0`; in any case",
        "`True`, `N`",
        ("true_values", "false_values"),
    ),
    "date": Kind(
        "year, month and day, as `YYYY-MM-DD`", "`2012-02-29`", ("format",), ("timestamp", "timestamp_ntz")
    ),
    "timestamp": Kind(
        "a date; or a date, `T` or a space, and `HH:MM` or `HH:MM:SS`, with or without a fraction and a "
        "zone: `Z`, `±HH:MM`, `±HHMM`, `±HH` up to 18 hours. Without a zone it is UTC",
        "`2013-01-01T05:30+02:00`, `2013-01-01 05:30:00.25`",
        ("format",),
    ),
    "timestamp_ntz": Kind(
        "the same without a zone: what a clock on the wall showed", "`2013-01-01 05:30`", ("format",)
    ),
    "time": Kind(
        "`HH:MM` or `HH:MM:SS`, with or without a fraction. A text in the table, because Delta has no such "
        "type: `05:30:00`, `05:30:00.25`",
        "`05:30`",
        ("format",),
    ),
    "binary": Kind("`\\x` and hexadecimal digits, two for each byte; or base64", "`\\x00ff`", ("format",)),
    "json": Kind(
        "any JSON value, as it was written; lists and objects of other formats too. A text in the table, "
        "because Spark compares no others",
        "`[1, 2]`",
    ),
    "array<T>": Kind(
        "a JSON list, each of its values as type T; lists of other formats too",
        "`[1, null]` for `array<int>`",
    ),
    "struct<name:T,…>": Kind(
        "a JSON object with these fields, each as its type; records of other formats too",
        '`{"id": 7, "tags": ["a"]}` for `struct<id:int,tags:array<string>>`',
    ),
    "map<K,T>": Kind(
        "a JSON object with fields of any name, each name as type K "
        f"({', '.join(f'`{key}`' for key in KEYS)}) and each value as type T; maps of other formats too",
        '`{"de": 1.5}` for `map<string,double>`',
    ),
}
_DECIMAL = re.compile(r"decimal\(\s*(\d{1,2})\s*,\s*(\d{1,2})\s*\)")


class Digits(NamedTuple):
    """Of a decimal: digits in all, and those behind the point."""

    precision: int
    scale: int


def _checked(name: str, levels: int = MOST_LEVELS) -> str:
    if (parts := nested(name)) is not None:
        if not levels:
            raise ValueError(f"types are nested at most {MOST_LEVELS} levels deep; use json below")
        return str(_checked_parts(parts, levels - 1))
    if (found := _DECIMAL.fullmatch(name)) is not None:
        precision, scale = int(found[1]), int(found[2])
        if not 1 <= precision <= MOST_DIGITS or scale > precision:
            raise ValueError(f"a decimal has 1 to {MOST_DIGITS} digits, and no more of them behind the point")
        return f"decimal({precision},{scale})"
    if name not in KINDS or name.startswith("decimal"):
        raise ValueError(f"expected one of {', '.join(KINDS)}, found {name!r}")
    return name


def _checked_parts(parts: Nested, levels: int) -> Nested:
    match parts:
        case ArrayOf(element):
            return ArrayOf(_checked(element, levels))
        case MapOf(key, value):
            if key not in KEYS:
                raise ValueError(f"the keys of a map are of type {', '.join(KEYS)}, not {key}")
            return MapOf(key, _checked(value, levels))
        case StructOf(fields):
            if doubled := alike(name for name, _ in fields):
                raise ValueError(f"struct: two fields with the same name: {doubled}")
            return StructOf(tuple((name, _checked(type_, levels)) for name, type_ in fields))


ColumnType = Annotated[str, AfterValidator(_checked)]


def digits_of(type_: str) -> Digits | None:
    """Of a decimal; None for the other types."""
    found = _DECIMAL.fullmatch(type_)
    return Digits(int(found[1]), int(found[2])) if found else None


def kind_name(type_: str) -> str:
    """The name in `KINDS` of a type's kind."""
    match nested(type_):
        case ArrayOf():
            return "array<T>"
        case StructOf():
            return "struct<name:T,…>"
        case MapOf():
            return "map<K,T>"
    return "decimal(p,s)" if digits_of(type_) else type_


def kind_of(type_: str) -> Kind:
    """The kind of a type."""
    return KINDS[kind_name(type_)]


def spark_type(type_: str) -> str:
    """What a column of this type is in a table."""
    match nested(type_):
        case ArrayOf(element):
            return str(ArrayOf(spark_type(element)))
        case StructOf(fields):
            return str(StructOf(tuple((name, spark_type(each)) for name, each in fields)))
        case MapOf(key, value):
            return str(MapOf(spark_type(key), spark_type(value)))
    return "string" if type_ in ("time", "json") else type_


def is_wider(new: str, old: str) -> bool:
    """Whether `new` holds every value of `old`, and more, so that readers of `old` are none the worse."""
    if (before := nested(old)) is not None:
        return new != old and _holds(nested(new), before)
    kind, room = kind_of(old), digits_of(new)
    if room is None:
        return new in kind.wider
    if "decimal" not in kind.wider:
        return False
    digits = digits_of(old) or Digits(kind.digits or 0, 0)
    whole = room.precision - room.scale
    return new != old and whole >= digits.precision - digits.scale and room.scale >= digits.scale


def _holds(new: Nested | None, old: Nested) -> bool:
    """Whether each part of `new` has its type in `old`, or a wider one; a struct may have more fields."""
    match old, new:
        case ArrayOf(before), ArrayOf(after):
            return _same_or_wider(after, before)
        case MapOf(key, before), MapOf(new_key, after):
            return key == new_key and _same_or_wider(after, before)
        case StructOf(before_fields), StructOf(after_fields):
            present = dict(after_fields)
            return all(
                name in present and _same_or_wider(present[name], each) for name, each in before_fields
            )
    return False


def _same_or_wider(new: str, old: str) -> bool:
    return new == old or is_wider(new, old)
