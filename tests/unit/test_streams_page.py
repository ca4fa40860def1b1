"""The live page shows what the streams say of themselves, and says when that is old."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from millstream.lake.storage import local_uri
from millstream.streams import alert_snapshot, compared, snapshot
from millstream.streams.alert_snapshot import Alert, AlertSnapshot
from millstream.streams.compared import Comparison, Difference
from millstream.streams.snapshot import Delays, HourlyDelays, Outcome, Predictions, Snapshot
from millstream.transforms.airport_delays_batch import FIGURES
from millstream_airflow.streams_page import streams_page

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
UNITED = Delays(
    airport="EWR",
    carrier="U<",
    scheduled=9,
    cancelled=1,
    departed=8,
    late_departures=2,
    departure_delay_min=30,
    arrived=4,
    late_arrivals=1,
    arrival_delay_min=-6,
)
SEEN = Snapshot(
    stream="flight_events",
    state="running",
    at=AT,
    position=77,
    lag=5,
    read=70,
    delays=(UNITED,),
    delays_at=77,
)


def page(tmp_path: Path, seen: Snapshot, later: timedelta = timedelta(seconds=2)) -> str:
    root = local_uri(tmp_path)
    snapshot.write(root, seen)
    return streams_page(root, AT + later)


def test_it_shows_the_figures_and_values_as_text(tmp_path: Path) -> None:
    html = page(tmp_path, SEEN)

    assert "running, as of 12:00:00 UTC" in html
    assert "<td>77</td><td>5</td>" in html
    assert '<td class="text">U&lt;</td>' in html
    assert "<td>-1.5 min</td><td>25 %</td>" in html
    assert "Stale" not in html


def test_it_says_since_when_silver_lacks_something(tmp_path: Path) -> None:
    assert "had on" not in page(tmp_path, SEEN)
    html = page(tmp_path, SEEN.model_copy(update={"fresh_at": AT - timedelta(minutes=90)}))
    assert (
        " ".join(html.split()).count("silver has all that the topic had on 2026-01-01 at 10:30:00 UTC") == 1
    )


def test_old_figures_say_so(tmp_path: Path) -> None:
    html = page(tmp_path, SEEN, timedelta(seconds=31))

    assert "Stale: no sign of life for 31 s" in html
    assert "running, as of" not in html


def test_a_stream_that_stopped_says_why(tmp_path: Path) -> None:
    stopped = SEEN.model_copy(update={"state": "stopped", "reason": "it was <made> anew"})

    assert "stopped: it was &lt;made&gt; anew" in page(tmp_path, stopped)


def test_it_shows_how_many_alerts_were_sent_and_the_last(tmp_path: Path) -> None:
    alert = Alert(alert="late", event_id="UA<", event={"flight": 1}, sent=AT)
    alerts = AlertSnapshot(
        stream=SEEN.stream, topic="flight-alerts", state="running", at=AT, sent=12, latest=(alert,)
    )
    assert "Alerts" not in page(tmp_path, SEEN)
    alert_snapshot.write(local_uri(tmp_path), alerts)

    html = page(tmp_path, SEEN)
    assert "12 sent to the topic flight-alerts" in html
    assert '<td class="text">late</td>\n<td class="text">UA&lt;</td>' in html
    assert "Stale" not in html
    seen = SEEN.model_copy(update={"at": AT + timedelta(seconds=31)})
    assert "no sign of life of the alerts for 31 s" in page(tmp_path, seen, timedelta(seconds=31))


def hourly(airport: str, hour: str, arrived: int, delay: int) -> HourlyDelays:
    figures = {**dict.fromkeys(FIGURES, 0), "arrived": arrived, "arrival_delay_min": delay}
    return HourlyDelays(airport=airport, hour=f"2013-01-15 {hour}:00:00", **figures)


def test_the_chart_has_a_line_for_each_airport_and_no_script(tmp_path: Path) -> None:
    hours = (
        hourly("EWR", "12", 2, 60),
        hourly("EWR", "13", 1, 0),
        hourly("J<", "12", 4, -40),
        # Nobody has arrived: no point.
        hourly("J<", "13", 0, 0),
    )
    html = page(tmp_path, SEEN.model_copy(update={"hours": hours}))

    assert html.count("<polyline") == 2
    # The highest mean is at the top, the lowest at the bottom, and one hour lies left of the other.
    assert 'points="44.0,12.0 700.0,162.0"' in html
    assert 'points="44.0,212.0"' in html
    assert ">J&lt;</text>" in html
    assert ">01-15 12:00</text>" in html
    assert "<script" not in html


def test_an_hour_without_events_has_its_place_in_the_chart(tmp_path: Path) -> None:
    hours = (hourly("EWR", "03", 1, 0), hourly("EWR", "09", 1, 10), hourly("EWR", "11", 1, 0))
    html = page(tmp_path, SEEN.model_copy(update={"hours": hours}))

    assert 'points="44.0,212.0 536.0,78.7 700.0,212.0"' in html


def test_without_arrivals_there_is_no_chart(tmp_path: Path) -> None:
    assert "<svg" not in page(tmp_path, SEEN.model_copy(update={"hours": (hourly("EWR", "12", 0, 0),)}))


NEWARK = Outcome(
    airport="E<R", predicted=9, predicted_late=3, landed=7, late=2, late_as_predicted=1, expected_late=2.345
)


def test_predictions_stand_beside_outcomes_and_what_is_wrong_is_said(tmp_path: Path) -> None:
    assert "predicted" not in page(tmp_path, SEEN)
    made = Predictions(made=40, model_version=3, until=AT, reason="MLflow <away>", outcomes=(NEWARK,))
    html = " ".join(page(tmp_path, SEEN.model_copy(update={"predictions": made})).split())

    assert "by version 3, for cutoffs until 2026-01-01 12:00 UTC, 40 so far" in html
    assert "<td>E&lt;R</td><td>9</td><td>3</td> <td>7</td><td>2.3</td><td>2</td> <td>1</td>" in html
    assert '<p class="bad">MLflow &lt;away&gt;</p>' in html
    none_yet = SEEN.model_copy(update={"predictions": Predictions(reason="no champion")})
    assert '<p class="bad">no champion</p>' in page(tmp_path, none_yet)


SAME = Comparison(
    at=AT,
    position=77,
    groups={"lambda": 12, "kappa": 12, "mapreduce": 12},
    events={"silver": 70, "mapreduce": 70},
    flights={},
    days=None,
    different=0,
    differences=(),
)
SIDES = {"silver": "not there", "mapreduce": "there"}
WRONG = Difference(kind="event", key="a<b", sides=SIDES, event_ids=("a<b",))


def test_it_says_what_the_last_comparison_has_found(tmp_path: Path) -> None:
    assert "Views compared" not in page(tmp_path, SEEN)
    compared.write(local_uri(tmp_path), SAME)
    html = page(tmp_path, SEEN)
    assert "every row is the same" in html
    assert "<td>mapreduce</td><td>12</td><td>70</td>" in html
    compared.write(local_uri(tmp_path), SAME.model_copy(update={"different": 1, "differences": (WRONG,)}))
    html = page(tmp_path, SEEN)
    assert "1 keys differ" in html
    assert "event a&lt;b: silver: not there; mapreduce: there (events a&lt;b)" in html
