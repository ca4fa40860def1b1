"""The live page shows what the streams say of themselves, and says when that is old."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from millstream.lake.storage import local_uri
from millstream.streams import snapshot
from millstream.streams.snapshot import Delays, Snapshot
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


def test_old_figures_say_so(tmp_path: Path) -> None:
    html = page(tmp_path, SEEN, timedelta(seconds=31))

    assert "Stale: no sign of life for 31 s" in html
    assert "running, as of" not in html


def test_a_stream_that_stopped_says_why(tmp_path: Path) -> None:
    stopped = SEEN.model_copy(update={"state": "stopped", "reason": "it was <made> anew"})

    assert "stopped: it was &lt;made&gt; anew" in page(tmp_path, stopped)
