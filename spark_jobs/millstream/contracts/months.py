"""Months, written YYYY-MM: what partitioned datasets are cut by."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated

from pydantic import StringConstraints

from millstream.errors import ContractError

# Digits are spelled out, because `\d` takes those of every script.
MONTH_PATTERN = r"^[1-9][0-9]{3}-(0[1-9]|1[0-2])$"
Month = Annotated[str, StringConstraints(pattern=MONTH_PATTERN)]


def is_month(text: str) -> bool:
    """Whether `text` is a month, 'YYYY-MM'."""
    # Python's `$` also holds before a line break at the end; fullmatch does not.
    return re.fullmatch(MONTH_PATTERN, text) is not None


def months(start: str, end: str) -> list[str]:
    """All months from `start` to `end`, both included, as 'YYYY-MM'. Raises ContractError on a bad range."""
    for value in (start, end):
        if not is_month(value):
            raise ContractError(f"a month is written YYYY-MM, found {value!r}")
    if end < start:
        raise ContractError(f"the range ends before it starts: {start} to {end}")
    first, last = (datetime.strptime(value, "%Y-%m") for value in (start, end))
    count = (last.year - first.year) * 12 + last.month - first.month + 1
    return [
        f"{first.year + (first.month - 1 + step) // 12:04d}-{(first.month - 1 + step) % 12 + 1:02d}"
        for step in range(count)
    ]
