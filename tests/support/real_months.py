"""Real months of flights as their source delivers them."""

from __future__ import annotations

from functools import cache

from millstream_demo import reference
from tests.support.chain import month_zip

MONTHS = ["2013-01", "2013-02"]
FLIGHTS = 51_955


@cache
def months() -> dict[str, bytes]:
    """A file for each month: the same bytes for all chains of a test, as rows are named by them."""
    header, *lines = (line.decode().rstrip() for line in reference.flight_lines())
    return {
        month: month_zip(
            *(line for line in lines if line.split(",")[1] == str(int(month[-2:]))), header=header
        )
        for month in MONTHS
    }
