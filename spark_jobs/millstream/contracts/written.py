"""How the values of a column are written, where that is not as usual."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pydantic import Field

from millstream.contracts.sources import Strict

# https://spark.apache.org/docs/latest/sql-ref-datetime-pattern.html, without those of weeks and eras.
_LETTERS = frozenset("yuMLdEaHhKkmsSXxZVzO")
_NEEDED = {
    "date": ("yu", "ML", "d"),
    "timestamp": ("yu", "ML", "d"),
    "timestamp_ntz": ("yu", "ML", "d"),
    "time": ("HhKk", "m"),
}
_ZONES = frozenset("XxZVzO")
_CLOCK = frozenset("aHhKkmsS")
BASE64 = "base64"


class Written(Strict):
    """What a column may say of how its values are written."""

    null_values: tuple[str, ...] | None = Field(
        default=None, description="texts that mean null here, in place of the contract's"
    )
    format: str | None = Field(
        default=None,
        description="a date's or time's pattern, in Spark's letters (`dd.MM.yyyy`); of bytes `base64`",
    )
    decimal_mark: str | None = Field(default=None, description="what stands for the point, often a comma")
    thousands_mark: str | None = Field(
        default=None, description="what may part groups of three digits before the point"
    )
    true_values: tuple[str, ...] = Field(default=(), description="the words for true, as they are written")
    false_values: tuple[str, ...] = Field(default=(), description="the words for false, as they are written")

    def check(self, type_: str, usable: Iterable[str]) -> None:
        """Raises ValueError where what is said is nothing for a column of this type."""
        for name in ("format", "decimal_mark", "thousands_mark", "true_values", "false_values"):
            if getattr(self, name) and name not in usable:
                raise ValueError(f"{name}: a column of type {type_} has none")
        for name in ("decimal_mark", "thousands_mark"):
            mark = getattr(self, name)
            if mark is not None and (len(mark) != 1 or mark.isalnum() or mark in "+-"):
                raise ValueError(f"{name}: expected one character that is no letter, digit or sign")
        if self.thousands_mark is not None and self.thousands_mark == (self.decimal_mark or "."):
            raise ValueError("thousands_mark: is the decimal mark too")
        if bool(self.true_values) != bool(self.false_values):
            raise ValueError("true_values and false_values go together")
        if both := sorted({*self.true_values} & {*self.false_values}):
            raise ValueError(f"true_values: {', '.join(both)} would be false as well")
        if self.format is not None:
            _check_pattern(self.format, type_)


def _check_pattern(pattern: str, type_: str) -> None:
    if type_ == "binary":
        if pattern != BASE64:
            raise ValueError(f"format: bytes are written in {BASE64}, or without a format as \\x00ff")
        return
    letters = {*re.sub(r"'[^']*'", "", pattern)} & {*"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"}
    refused = letters - _LETTERS
    if type_ == "date":
        refused |= letters & (_ZONES | _CLOCK)
    if type_ == "timestamp_ntz":
        refused |= letters & _ZONES
    if type_ == "time":
        refused |= letters - _CLOCK
    if refused:
        raise ValueError(f"format: a {type_} is not written with {', '.join(sorted(refused))}")
    if missing := [group for group in _NEEDED[type_] if letters.isdisjoint(group)]:
        raise ValueError(f"format: a {type_} needs {', '.join(' or '.join(group) for group in missing)}")
