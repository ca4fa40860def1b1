"""Calendar periods in UTC, what partitioned datasets are cut by: 2013, 2013-01, 2013-01-31, 2013-01-31T23.

Each is written as ISO 8601 writes it; the length tells the grain, and text order is that of time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator

from millstream.errors import ContractError

Grain = Literal["year", "month", "day", "hour"]
GRAINS: tuple[Grain, ...] = get_args(Grain)
# Digits are spelled out, because `\d` takes those of every script.
_YEAR, _MONTH = "[1-9][0-9]{3}", "(?:0[1-9]|1[0-2])"
_DAY, _HOUR = "(?:0[1-9]|[12][0-9]|3[01])", "(?:[01][0-9]|2[0-3])"
# What a period of each grain looks like, for people and as a regular expression.
SHAPES: dict[Grain, str] = {
    "year": "YYYY",
    "month": "YYYY-MM",
    "day": "YYYY-MM-DD",
    "hour": "YYYY-MM-DDTHH",
}
PATTERNS: dict[Grain, str] = {
    "year": _YEAR,
    "month": f"{_YEAR}-{_MONTH}",
    "day": f"{_YEAR}-{_MONTH}-{_DAY}",
    "hour": f"{_YEAR}-{_MONTH}-{_DAY}T{_HOUR}",
}
ANY = "|".join(f"(?:{PATTERNS[grain]})" for grain in reversed(GRAINS))
_FORMATS: dict[Grain, str] = {"year": "%Y", "month": "%Y-%m", "day": "%Y-%m-%d", "hour": "%Y-%m-%dT%H"}
_AFTER: dict[Grain, Callable[[datetime], datetime]] = {
    "year": lambda start: start.replace(year=start.year + 1),
    "month": lambda start: (start.replace(day=1) + timedelta(days=31)).replace(day=1),
    "day": lambda start: start + timedelta(days=1),
    "hour": lambda start: start + timedelta(hours=1),
}


def grain_of(text: str) -> Grain | None:
    """The grain of the period that `text` is; None: it is none."""
    for grain, pattern in PATTERNS.items():
        if re.fullmatch(pattern, text):
            try:
                datetime.strptime(text, _FORMATS[grain])
            except ValueError:
                return None
            return grain
    return None


def is_month(text: str) -> bool:
    """Whether `text` is a month, 'YYYY-MM'."""
    return grain_of(text) == "month"


def period_at(moment: datetime, grain: Grain) -> str:
    """The period in which a moment lies."""
    return f"{moment:{_FORMATS[grain]}}"


def start_of(period: str) -> datetime:
    """The first moment of a period, without a zone. Raises ContractError."""
    if (grain := grain_of(period)) is None:
        raise ContractError(f"a period is written {', '.join(SHAPES.values())}, found {period!r}")
    return datetime.strptime(period, _FORMATS[grain])


def following(period: str) -> str:
    """The period after this one. Raises ContractError."""
    start, grain = start_of(period), grain_of(period)
    assert grain is not None
    return period_at(_AFTER[grain](start), grain)


def periods(start: str, end: str) -> list[str]:
    """All periods from `start` to `end`, both included, of one grain. Raises ContractError on a bad range."""
    moment, last, grain = start_of(start), start_of(end), grain_of(start)
    if grain is None or grain != grain_of(end):
        raise ContractError(f"the range has two grains: {start} to {end}")
    if last < moment:
        raise ContractError(f"the range ends before it starts: {start} to {end}")
    found = []
    # Hours of ten years are 87,600.
    while moment <= last:
        found.append(period_at(moment, grain))
        moment = _AFTER[grain](moment)
    return found


def _checked(text: str) -> str:
    if grain_of(text) is None:
        raise ValueError(f"not a period: {text!r}; expected {', '.join(SHAPES.values())}")
    return text


Period = Annotated[str, AfterValidator(_checked)]
