"""Whether a stream is well: by the age of what silver has, not by the number of records that it lacks."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from millstream.errors import ConfigurationError
from millstream.lake.storage import Storage, local_uri
from millstream.streams import desired, watching
from millstream.streams.alert_snapshot import AlertSnapshot
from millstream.streams.freshness import Freshness
from millstream.streams.snapshot import HourlyDelays, Snapshot

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def seen(**said: Any) -> Snapshot:
    return Snapshot(**{"stream": "flight_events", "state": "running", "at": NOON, "fresh_at": NOON, **said})


def test_silver_that_always_lags_a_little_is_fresh() -> None:
    """Events keep coming, and each look finds some that are not there yet."""
    freshness = Freshness(NOON)
    for minute in range(1, 100):
        now = NOON + minute * MINUTE
        assert freshness.at(now, {0: 10 * (minute - 1)}, {0: 10 * minute}) == now - MINUTE


def test_a_partition_that_is_ahead_makes_up_for_none_that_is_behind() -> None:
    freshness = Freshness(NOON)
    assert freshness.at(NOON + MINUTE, {0: 0, 1: 0}, {0: 5, 1: 5}) == NOON
    # As many records in all as the topic had then.
    assert freshness.at(NOON + 2 * MINUTE, {0: 10, 1: 0}, {0: 10, 1: 5}) == NOON
    assert freshness.at(NOON + 3 * MINUTE, {0: 10, 1: 5}, {0: 20, 1: 6}) == NOON + 2 * MINUTE


@pytest.mark.parametrize("state", ["starting", "running", "waiting", "drained"])
def test_whatever_it_says_of_itself_it_is_in_trouble_once_silver_is_old(state: str) -> None:
    """Its process may be gone: then it says that it runs, for ever."""
    found = seen(state=state, reason="the broker is away", lag=1200)
    assert watching.trouble(found, NOON + HOUR, HOUR) == ""
    words = watching.trouble(found, NOON + HOUR + MINUTE, HOUR)
    assert words == (
        "silver is as the topic was 61 minutes ago, more than the 60 of deadline_minutes, and 1,200 records "
        f"behind; the stream was last seen {state}: the broker is away"
    )


@pytest.mark.parametrize("state", ["stopped", "parked"])
def test_one_that_has_stopped_or_is_parked_is_in_trouble_at_once(state: str) -> None:
    assert watching.trouble(seen(state=state, reason="records are gone"), NOON, HOUR) == (
        f"{state}: records are gone"
    )


def sending(**said: Any) -> AlertSnapshot:
    of = {"stream": "flight_events", "topic": "flight-alerts", "state": "running", "at": NOON}
    return AlertSnapshot(**{**of, **said})


@pytest.mark.parametrize("state", ["starting", "waiting", "drained"])
def test_alerts_are_in_trouble_when_they_have_not_run_for_a_deadline(state: str) -> None:
    """A broker that is away for a restart is none, however often they say so."""
    now = NOON + HOUR + MINUTE
    found = sending(state=state, at=now, down_since=NOON + MINUTE, reason="the broker is away")
    assert watching.alerts_trouble(found, now, HOUR) == ""
    found = sending(state=state, at=now, down_since=NOON, reason="the broker is away")
    assert watching.alerts_trouble(found, now, HOUR) == (
        "alerts have not run for 61 minutes, more than the 60 of deadline_minutes; they were last seen "
        f"{state}: the broker is away"
    )


def test_alerts_whose_process_is_gone_say_for_ever_that_they_run() -> None:
    assert watching.alerts_trouble(sending(), NOON + HOUR, HOUR) == ""
    assert "last seen running" in watching.alerts_trouble(sending(), NOON + HOUR + MINUTE, HOUR)


def test_alerts_that_have_stopped_are_in_trouble_at_once() -> None:
    found = sending(state="stopped", reason="records are gone")
    assert watching.alerts_trouble(found, NOON, HOUR) == "alerts stopped: records are gone"


def test_a_day_is_closed_three_days_behind_the_newest_event() -> None:
    figures = {name: 1 for name in HourlyDelays.model_fields if name not in ("airport", "hour")}
    hours = tuple(
        HourlyDelays(airport="JFK", hour=hour, **figures)
        for hour in ("2013-01-17 23:00:00", "2013-01-18 00:00:00", "2013-01-17 22:00:00")
    )
    assert watching.closed_day(seen(hours=hours)) == date(2013, 1, 15)
    assert watching.closed_day(seen()) is None


def test_the_days_that_were_judged_are_kept_in_the_lake(tmp_path: Path) -> None:
    root = local_uri(tmp_path)
    assert watching.judged_until(root, "flight_events") is None
    watching.note_judged(root, "flight_events", date(2013, 1, 15))
    assert watching.judged_until(root, "flight_events") == date(2013, 1, 15)
    Storage(root).write("ops/streams/flight_events.judged", b"yesterday")
    with pytest.raises(ConfigurationError, match="says 'yesterday', and has to say a day"):
        watching.judged_until(root, "flight_events")


def test_a_wish_that_says_nothing_is_none_to_run(tmp_path: Path) -> None:
    root = local_uri(tmp_path)
    assert (desired.read(root, "flight_events"), desired.reason(root, "flight_events")) == ("run", "")
    for written in (b"", b"\n", b"ru"):
        Storage(root).write("ops/streams/flight_events.desired", written)
        with pytest.raises(ConfigurationError, match="has to say run or drain"):
            desired.read(root, "flight_events")
