"""How far a source has been read: watermarks are text, compared as the numbers or moments that they are."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any


def highest(watermarks: Iterable[str]) -> str | None:
    """The highest of watermarks as text: numbers as numbers, times as moments, whatever their spelling."""
    return max(watermarks, key=_place, default=None)


def at_least(watermark: str | None, other: str) -> bool:
    """Whether a watermark is at or after another. What cannot be compared counts as it."""
    if watermark is None:
        return True
    places = _place(watermark), _place(other)
    return places[0][0] != places[1][0] or places[0] >= places[1]


def look_back(watermark: str, lookback: timedelta | int) -> str:
    """Where an increment after `watermark` begins to read; a look-back of another kind reaches nowhere."""
    kind, place = _place(watermark)
    if kind == 0 and isinstance(lookback, int):
        return str(place - lookback)
    if kind == 1 and isinstance(lookback, timedelta):
        earliest = datetime.min.replace(tzinfo=UTC)
        return str((place - min(lookback, place - earliest)).isoformat())
    return watermark


def _place(watermark: str) -> tuple[int, Any]:
    """What orders watermarks of one kind: numbers, moments, other text."""
    try:
        return 0, Decimal(watermark)
    except InvalidOperation:
        pass
    try:
        moment = datetime.fromisoformat(watermark)
    except ValueError:
        return 2, watermark
    return 1, moment if moment.tzinfo else moment.replace(tzinfo=UTC)
