"""Whether a stream is parked, by accounts as they are in its commits."""

from __future__ import annotations

from typing import Any

from millstream.lake.accounts import Account, PartitionCounts
from millstream.streams.breaker import _judged
from tests.support.streaming import stream

RULE = "flight is between 1 and 9999"


def account(read: int, **said: Any) -> Account:
    counts = PartitionCounts(read=read, written=read, quarantined=0, deduplicated=0, content_hash="0")
    return Account(
        table="silver.flight_events",
        run="r1",
        partitions={"all": counts},
        verdict={"warnings": [{"label": RULE, "share": 1.0, "success": False, **said}]},
        suite_version="1",
        code_version="test",
    )


def test_accounts_from_before_rows_were_counted_by_rule_park_no_stream() -> None:
    lake = stream("file:///none")
    assert _judged([account(500), account(500)], lake) == ("", 1000)
    reason, rows = _judged([account(500, broken=101), account(500)], lake)
    assert (rows, reason.startswith("of the last 500 rows 101 (")) == (500, True)
