"""`make sql`: which lake tables a query names."""

from __future__ import annotations

import os
import subprocess

import pytest

from millstream.settings import CHECKOUT
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


@pytest.mark.parametrize("query", ["select '$5 ^x$', `a`, \"b\" -- $(HOME) #", "a rlike '^x$' or '%$5%'"])
def test_make_hands_on_a_query_as_it_is(query: str) -> None:
    shown = subprocess.run(
        ["make", "--silent", "sql", "RUN=printf '%s\\n'", f"Q={query}"], cwd=CHECKOUT,
        env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert shown.stdout.splitlines()[-1] == query
