"""A stream is parked when too many of its newest rows break a rule: by the accounts of real micro-batches."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from millstream.lake.storage import local_uri
from millstream.streams import breaker, desired
from millstream.streams.tables import Stream
from tests.support.broker import Message
from tests.support.streaming import DATASET, altered, commit, day_messages, records, stream

# What `mostly` 0.99 lets break among 10,000 rows.
ALLOWED = 100
GOOD = day_messages()[:400]


@pytest.fixture
def lake(tmp_path: Path) -> Stream:
    return stream(local_uri(tmp_path / "lake"))


def broken(count: int) -> list[Message]:
    return [altered(message, flight=0) for message in GOOD[:count]]


def test_accounts_add_up_until_too_many_rows_break_a_rule(spark: SparkSession, lake: Stream) -> None:
    # Of two rules as many as of one: each has its own allowance.
    sent = [*broken(60), *(altered(message, carrier="?") for message in GOOD[60 : 60 + ALLOWED])]
    commit(lake, records(spark, sent))
    assert breaker.reason_to_park(lake) == ""

    sent += [*(altered(message, flight=0) for message in GOOD[200 : 201 + ALLOWED - 60]), *GOOD[300:320]]
    commit(lake, records(spark, sent))
    reason = breaker.reason_to_park(lake)
    assert reason.startswith(f"of the last {len(sent)} rows {ALLOWED + 1} (")
    assert "break 'flight is between 1 and 9999', and 100 of 10,000 may" in reason
    assert "What to do: " in reason
    assert "stream_control with the action run" in reason

    # Somebody lets it run: it counts anew.
    wish = (lake.lake_root, DATASET)
    desired.write(*wish, "park", reason)
    assert (desired.read(*wish), desired.reason(*wish)) == ("park", reason)
    desired.write(*wish, "run")
    assert (breaker.reason_to_park(lake), desired.reason(*wish)) == ("", "")
    commit(lake, records(spark, [*sent, altered(GOOD[330], flight=0)]))
    assert breaker.reason_to_park(lake) == ""


@pytest.mark.thorough
def test_unreadable_records_park_a_stream_and_events_sent_again_do_not(
    spark: SparkSession, lake: Stream
) -> None:
    good = GOOD[: ALLOWED + 20]
    commit(lake, records(spark, [*good, *good]))
    account = lake.newest(lake.silver)
    assert account is not None
    assert account.deduplicated > ALLOWED
    assert breaker.reason_to_park(lake) == ""
    # Half of them by their bytes, half because the event came before with other contents.
    unread = [(key, b"{not json", headers, partition) for key, _, headers, partition in GOOD[200:251]]
    changed = [altered(message, distance=1 + place) for place, message in enumerate(good[:50])]
    commit(lake, records(spark, [*good, *good, *unread, *changed]))
    assert "break 'readable', and 100 of 10,000 may" in breaker.reason_to_park(lake)
