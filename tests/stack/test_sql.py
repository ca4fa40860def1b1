"""`make sql`: which lake tables a query names."""

from __future__ import annotations

import pytest

from millstream_stack.sql import tables_named


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("select count(*) from silver.flights", ["silver.flights"]),
        (
            "SELECT * FROM Silver.Flights f JOIN silver.planes p USING (tailnum)",
            ["silver.flights", "silver.planes"],
        ),
        ("select * from gold.`arrival_delay_features`", ["gold.arrival_delay_features"]),
        ("select * from ops.ledger", ["ops.ledger"]),
        ("select a.b, notsilver.c, 'bronze' from x", []),
        ("describe history silver.flights_quarantine", ["silver.flights_quarantine"]),
    ],
)
def test_tables_named(query: str, expected: list[str]) -> None:
    assert [str(table) for table in tables_named(query)] == expected
