"""`watch_streams`: its trigger on a lake of the test's own, and what its tasks make of the events."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.exceptions import AirflowSkipException, TaskDeferred
from airflow.sdk.execution_time.context import set_current_context

from millstream.errors import QualityGateError, StreamBehindError
from millstream.settings import CHECKOUT
from millstream.streams import alert_snapshot, desired, snapshot, watching
from millstream.streams.alert_snapshot import AlertSnapshot
from millstream.streams.snapshot import HourlyDelays, Snapshot
from millstream_airflow.pipelines.stream_control import ask, await_state
from millstream_airflow.pipelines.watch_streams import closed_days
from millstream_airflow.tasks.watch_stream import StreamTrigger, WatchStreamOperator

STREAM = "flight_events"
BOUND_S = 30.0
HOUR = timedelta(hours=1)


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MILLSTREAM_HOME", str(tmp_path))
    monkeypatch.setenv("MILLSTREAM_LAKE_ROOT", f"file://{tmp_path}/lake")
    return f"file://{tmp_path}/lake"


def say(lake: str, **said: Any) -> None:
    now = datetime.now(UTC)
    snapshot.write(
        lake, Snapshot(**{"stream": STREAM, "state": "running", "at": now, "fresh_at": now, **said})
    )


def say_of_alerts(lake: str, **said: Any) -> None:
    now = datetime.now(UTC)
    of = {"stream": STREAM, "topic": "flight-alerts", "state": "running", "at": now}
    alert_snapshot.write(lake, AlertSnapshot(**{**of, **said}))


def fired(trigger: StreamTrigger) -> dict[str, Any]:
    """Its first event, of a trigger that has been through the database."""
    path, arguments = trigger.serialize()
    assert path == "millstream_airflow.tasks.watch_stream.StreamTrigger"

    async def first() -> Any:
        return await anext(aiter(StreamTrigger(**arguments).run()))

    payload: dict[str, Any] = asyncio.run(asyncio.wait_for(first(), BOUND_S)).payload
    assert payload.pop("until") == arguments["until"]
    return payload


def trigger(lake: str, until: timedelta = HOUR, trouble: str = "", alerts: bool = False) -> StreamTrigger:
    return StreamTrigger(lake, STREAM, 600.0, (datetime.now(UTC) + until).isoformat(), trouble, alerts)


def test_the_trigger_fires_when_the_stream_stops_or_silver_is_old(lake: str) -> None:
    say(lake, state="stopped", reason="records are gone")
    assert fired(trigger(lake)) == {"trouble": "stopped: records are gone", "over": False}
    say(lake, fresh_at=datetime.now(UTC) - timedelta(minutes=11))
    event = fired(trigger(lake))
    assert (event["trouble"].startswith("silver is as the topic was 11 minutes ago"), event["over"]) == (
        True,
        False,
    )


def test_the_trigger_fires_once_for_a_trouble_and_when_it_is_over(lake: str) -> None:
    say(lake, state="stopped", reason="records are gone")
    quiet = trigger(lake, timedelta(seconds=0.5), trouble="stopped: records are gone")
    assert fired(quiet) == {"trouble": "stopped: records are gone", "over": True}
    say(lake)
    assert fired(trigger(lake, trouble="stopped")) == {"trouble": "", "over": False}
    assert fired(trigger(lake, timedelta(0))) == {"trouble": "", "over": True}


def test_the_trigger_of_alerts_fires_for_them_alone(lake: str) -> None:
    say(lake)
    say_of_alerts(lake, state="stopped", reason="records are gone")
    assert fired(trigger(lake, alerts=True)) == {"trouble": "alerts stopped: records are gone", "over": False}
    assert fired(trigger(lake, timedelta(0))) == {"trouble": "", "over": True}
    say(lake, state="stopped")
    say_of_alerts(lake)
    assert fired(trigger(lake, timedelta(0), alerts=True)) == {"trouble": "", "over": True}


def test_alerts_are_watched_where_they_were_started(lake: str) -> None:
    task = DagBag(str(CHECKOUT / "dags")).dags["watch_streams"].get_task(f"watch_{STREAM}_alerts")
    assert isinstance(task, WatchStreamOperator)
    task.minutes = "5"
    # A stream without them is none of theirs.
    say(lake)
    with pytest.raises(AirflowSkipException, match="alerts of stream flight_events do not run: make streams"):
        task.execute({})
    say_of_alerts(lake, state="drained")
    with pytest.raises(AirflowSkipException):
        task.execute({})
    say_of_alerts(lake, state="waiting")
    with pytest.raises(TaskDeferred) as deferred:
        task.execute({})
    assert deferred.value.trigger.alerts


@pytest.fixture
def watch() -> WatchStreamOperator:
    task = DagBag(str(CHECKOUT / "dags")).dags["watch_streams"].get_task(f"watch_{STREAM}")
    assert isinstance(task, WatchStreamOperator)
    return task


def test_trouble_sends_an_alert_and_the_watch_goes_on(
    lake: str, watch: WatchStreamOperator, capsys: pytest.CaptureFixture[str]
) -> None:
    until = (datetime.now(UTC) + HOUR).isoformat()
    context: Any = {"dag": watch.dag, "run_id": "r1"}
    with set_current_context(context):
        with pytest.raises(TaskDeferred) as deferred:
            watch.go_on(context, {"trouble": "stopped: records are gone", "over": False, "until": until})
        alert = capsys.readouterr().out
        assert "ALERT watch_streams failed in run r1 (StreamBehindError)" in alert
        assert "stopped: records are gone" in alert
        assert (deferred.value.trigger.trouble, deferred.value.trigger.until) == (
            "stopped: records are gone",
            until,
        )
        with pytest.raises(TaskDeferred) as deferred:
            watch.go_on(context, {"trouble": "", "over": False, "until": until})
        assert deferred.value.trigger.trouble == ""
        with pytest.raises(StreamBehindError, match="flight_events: stopped: records are gone"):
            watch.go_on(context, {"trouble": "stopped: records are gone", "over": True, "until": until})
        watch.go_on(context, {"trouble": "", "over": True, "until": until})


def test_a_lake_without_a_stream_is_not_watched(lake: str, watch: WatchStreamOperator) -> None:
    with pytest.raises(AirflowSkipException, match="does not run: make streams-up"):
        watch.execute({})
    # As make down leaves it, weeks ago.
    say(lake, state="drained", fresh_at=datetime.now(UTC) - timedelta(days=20))
    with pytest.raises(AirflowSkipException, match="does not run: make streams-up"):
        watch.execute({})
    say(lake, state="drained", reason="asked for")
    watch.minutes = "5"
    with pytest.raises(TaskDeferred):
        watch.execute({})


def test_a_stream_that_does_not_run_is_asked_for_nothing(lake: str) -> None:
    """The wish would stay, and hold the stream when it is started."""
    context: Any = {"params": {"stream": STREAM, "action": "drain"}}
    with set_current_context(context):
        with pytest.raises(AirflowSkipException, match="does not run: make streams-up"):
            ask.function()
        assert desired.read(lake, STREAM) == "run"
        say(lake)
        ask.function()
    assert desired.read(lake, STREAM) == "drain"


def test_a_stream_that_parks_itself_again_is_not_waited_for(lake: str) -> None:
    """It runs for less time than there is between two looks."""
    say(lake, state="parked", reason="too many rows break a rule")
    context: Any = {"params": {"stream": STREAM, "action": "run"}}
    with set_current_context(context):
        ask.function()
        # Its process has not looked yet.
        assert not await_state.function().is_done
        desired.write(lake, STREAM, "park", "too many rows break a rule")
        with pytest.raises(QualityGateError, match="parked itself again: too many rows break a rule"):
            await_state.function()


def test_closed_days_are_judged_once(lake: str) -> None:
    with pytest.raises(AirflowSkipException):
        closed_days.function()
    figures = {name: 1 for name in HourlyDelays.model_fields if name not in ("airport", "hour")}
    say(lake, hours=(HourlyDelays(airport="JFK", hour="2013-01-18 00:00:00", **figures),))
    assert closed_days.function() == {"first_day": None, "last_day": "2013-01-15"}
    watching.note_judged(lake, STREAM, date(2013, 1, 12))
    assert closed_days.function() == {"first_day": "2013-01-13", "last_day": "2013-01-15"}
    watching.note_judged(lake, STREAM, date(2013, 1, 15))
    with pytest.raises(AirflowSkipException, match="no day has been closed since 2013-01-15"):
        closed_days.function()
