"""Parameters that a run gives to suites: dates and lengths of its periods."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from millstream.contracts.periods import following, start_of


def run_parameters(partitions: Sequence[str]) -> dict[str, str | int | float | bool]:
    """Parameters that suites may use: `tomorrow` (UTC), and for periods their first and last date and the
    number of days."""
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    if not partitions:
        return {"tomorrow": f"{tomorrow} 00:00:00"}
    spans = [(start_of(period), start_of(following(period))) for period in partitions]
    days = sum((end - start for start, end in spans), timedelta()) / timedelta(days=1)
    return {
        "tomorrow": f"{tomorrow} 00:00:00",
        "first_date": str(min(start for start, _ in spans).date()),
        "last_date": str((max(end for _, end in spans) - timedelta(microseconds=1)).date()),
        "days": int(days) if days.is_integer() else days,
    }
