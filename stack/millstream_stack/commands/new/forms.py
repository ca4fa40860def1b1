"""Amounts and dates as people write them, and what a contract says to have them read."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from millstream.contracts.types import MOST_DIGITS, ColumnType

# What stands before the decimals, and what may part groups of three digits.
MARKS = ((".", ""), (".", ","), (",", ""), (",", "."))
# Of currencies and of exchange rates; three digits behind a mark may be a group of thousands.
PLACES = (2, 4)
# Room for amounts that are larger than those seen.
USUAL_DIGITS, ROOM = 18, 4
_DAY = re.compile(r"(\d{1,4})([./-])(\d{1,2})\2(\d{1,4})(?:([T ])(\d{2}:\d{2})(:\d{2})?)?", re.ASCII)
# Nobody writes the month first with points.
_ORDERS = {".": ("yMd", "dMy"), "/": ("yMd", "dMy", "Mdy"), "-": ("yMd", "dMy", "Mdy")}


@dataclass(frozen=True)
class Form:
    """The type of a column, entries that say how its values are written, and what is not sure about it."""

    kind: ColumnType
    written: Mapping[str, str | list[str]] = field(default_factory=dict)
    unsure: str = ""


def amounts(texts: Collection[str]) -> Form | None:
    """A decimal, if all texts have the same number of digits behind the point, as amounts of money do."""
    for point, group in MARKS:
        whole = rf"\d{{1,3}}(?:{re.escape(group)}\d{{3}})+|\d+" if group else r"\d+"
        form = re.compile(rf"\s*[+-]?({whole}){re.escape(point)}(\d+)\s*", re.ASCII)
        seen = [match for text in texts if (match := form.fullmatch(text))]
        places = {len(match[2]) for match in seen}
        if len(seen) < len(texts) or len(places) != 1 or places.isdisjoint(PLACES):
            continue
        (scale,) = places
        digits = max(sum(map(str.isdigit, match[1])) for match in seen) + scale
        if digits > MOST_DIGITS:
            return None
        precision = USUAL_DIGITS if digits + ROOM <= USUAL_DIGITS else MOST_DIGITS
        marks = {"decimal_mark": point if point != "." else "", "thousands_mark": group}
        return Form(f"decimal({precision},{scale})", {name: mark for name, mark in marks.items() if mark})
    return None


def moments(texts: Collection[str]) -> Form | None:
    """Dates, with a time of day or without, in an order and with a mark that all texts have."""
    seen = [match for text in texts if (match := _DAY.fullmatch(text.strip()))]
    shapes = {(match[2], match[5], match[7] is None) for match in seen}
    if len(seen) < len(texts) or len(shapes) != 1:
        return None
    ((mark, before_clock, no_seconds),) = shapes
    patterns = []
    for order in _ORDERS[mark]:
        dates = [dict(zip(order, match.group(1, 3, 4), strict=True)) for match in seen]
        clocks = [f"{match[6] or '00:00'}{match[7] or ''}" for match in seen]
        if all(_is_moment(date, clock) for date, clock in zip(dates, clocks, strict=True)):
            two = all(len(date["M"]) == len(date["d"]) == 2 for date in dates)
            patterns.append(mark.join("yyyy" if part == "y" else part * (1 + two) for part in order))
    if len(patterns) > 1:
        return Form("string", unsure=f"dates written as {' or '.join(patterns)}?")
    if not patterns:
        return None
    if before_clock is None:
        return Form("date", {"format": patterns[0]})
    between = " " if before_clock == " " else "'T'"
    return Form("timestamp", {"format": f"{patterns[0]}{between}HH:mm{'' if no_seconds else ':ss'}"})


def _is_moment(date: dict[str, str], clock: str) -> bool:
    if len(date["y"]) != 4 or max(len(date["M"]), len(date["d"])) > 2:
        return False
    try:
        datetime.fromisoformat(f"{date['y']}-{date['M']:0>2}-{date['d']:0>2} {clock}")
    except ValueError:
        return False
    return True
