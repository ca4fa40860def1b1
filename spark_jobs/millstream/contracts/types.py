"""The types that a contract may give a column, which of them is wider than which, and what a column may say
of how its values are written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, NamedTuple

from pydantic import AfterValidator

MOST_DIGITS = 38


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
}
_DECIMAL = re.compile(r"decimal\(\s*(\d{1,2})\s*,\s*(\d{1,2})\s*\)")


class Digits(NamedTuple):
    """Of a decimal: digits in all, and those behind the point."""

    precision: int
    scale: int


def _checked(name: str) -> str:
    if (found := _DECIMAL.fullmatch(name)) is not None:
        precision, scale = int(found[1]), int(found[2])
        if not 1 <= precision <= MOST_DIGITS or scale > precision:
            raise ValueError(f"a decimal has 1 to {MOST_DIGITS} digits, and no more of them behind the point")
        return f"decimal({precision},{scale})"
    if name not in KINDS or name.startswith("decimal"):
        raise ValueError(f"expected one of {', '.join(KINDS)}")
    return name


ColumnType = Annotated[str, AfterValidator(_checked)]


def digits_of(type_: str) -> Digits | None:
    """Of a decimal; None for the other types."""
    found = _DECIMAL.fullmatch(type_)
    return Digits(int(found[1]), int(found[2])) if found else None


def kind_of(type_: str) -> Kind:
    """The kind of a type."""
    return KINDS["decimal(p,s)" if digits_of(type_) else type_]


def spark_type(type_: str) -> str:
    """What a column of this type is in a table."""
    return "string" if type_ in ("time", "json") else type_


def is_wider(new: str, old: str) -> bool:
    """Whether `new` holds every value of `old`, and more, so that readers of `old` are none the worse."""
    kind, there = kind_of(old), digits_of(new)
    if there is None:
        return new in kind.wider
    if "decimal" not in kind.wider:
        return False
    before = digits_of(old) or Digits(kind.digits or 0, 0)
    room = there.precision - there.scale
    return new != old and room >= before.precision - before.scale and there.scale >= before.scale
