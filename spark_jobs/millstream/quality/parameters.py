"""Parameters that a run gives to suites: dates and lengths of its months."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta


def run_parameters(partitions: Sequence[str]) -> dict[str, str | int | float | bool]:
    """Parameters that suites may use: `tomorrow` (UTC), and for months (YYYY-MM) their first and last date
    and number of days."""
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    if not partitions:
        return {"tomorrow": f"{tomorrow} 00:00:00"}
    lengths = {month: monthrange(int(month[:4]), int(month[5:]))[1] for month in partitions}
    last = max(partitions)
    return {
        "tomorrow": f"{tomorrow} 00:00:00",
        "first_date": f"{min(partitions)}-01",
        "last_date": f"{last}-{lengths[last]}",
        "days": sum(lengths.values()),
    }
