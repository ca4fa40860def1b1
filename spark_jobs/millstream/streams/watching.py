"""Whether a stream and its alerts are well, by what they say, and which days of its events are closed."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from millstream.errors import ConfigurationError
from millstream.lake.storage import Storage
from millstream.streams import alert_snapshot, snapshot
from millstream.streams.alert_snapshot import AlertSnapshot
from millstream.streams.snapshot import FOLDER, Snapshot

# A flight that is a day late, its time in the air, and the hours between local time and UTC.
SETTLED = timedelta(days=3)
NOT_STARTED = "stream {stream} does not run: make streams-up starts it"
ALERTS_NOT_STARTED = "the alerts of stream {stream} do not run: make streams-up starts them"


def seen_of_started(lake_root: str, stream: str) -> Snapshot | None:
    """What the stream has said of itself; None where it was never started, or has ended with the stack."""
    seen = snapshot.read(lake_root, stream)
    # The end of the stack gives no reason, a wish to drain does.
    return None if seen is not None and seen.state == "drained" and not seen.reason else seen


def trouble(seen: Snapshot, now: datetime, deadline: timedelta) -> str:
    """What is wrong, in words; empty while all is well.

    A stream that has stopped or is parked is in trouble at once. Any other is when silver lacks what the
    topic had a `deadline` ago: it lags, waits, is drained, or its process is gone.
    """
    why = f": {seen.reason}" if seen.reason else ""
    if seen.state in ("stopped", "parked"):
        return f"{seen.state}{why}"
    age = now - (seen.fresh_at or seen.at)
    if age <= deadline:
        return ""
    minutes, most = (span.total_seconds() / 60 for span in (age, deadline))
    return (
        f"silver is as the topic was {minutes:.0f} minutes ago, more than the {most:.0f} of "
        f"deadline_minutes, and {seen.lag:,} records behind; the stream was last seen {seen.state}{why}"
    )


def seen_of_started_alerts(lake_root: str, stream: str) -> AlertSnapshot | None:
    """What alerts have said of themselves; None where they were never started, or ended with the stack."""
    seen = alert_snapshot.read(lake_root, stream)
    return None if seen is not None and seen.state == "drained" else seen


def alerts_trouble(seen: AlertSnapshot, now: datetime, deadline: timedelta) -> str:
    """The same of alerts: at once when they have stopped, else when they have not run for a `deadline`."""
    why = f": {seen.reason}" if seen.reason else ""
    if seen.state == "stopped":
        return f"alerts {seen.state}{why}"
    age = now - (seen.down_since or seen.at)
    if age <= deadline:
        return ""
    minutes, most = (span.total_seconds() / 60 for span in (age, deadline))
    return (
        f"alerts have not run for {minutes:.0f} minutes, more than the {most:.0f} of deadline_minutes; they "
        f"were last seen {seen.state}{why}"
    )


def closed_day(seen: Snapshot) -> date | None:
    """The newest day of flights whose events have all come; None before there is one, or without the view."""
    newest = max((one.hour for one in seen.hours), default=None)
    return None if newest is None else datetime.fromisoformat(newest).date() - SETTLED


def judged_until(lake_root: str, stream: str) -> date | None:
    """The last day that the gate has let pass (`note_judged`); None before the first.

    Raises: ConfigurationError: somebody has written something else there.
    """
    storage, path = Storage(lake_root), _path(stream)
    if not storage.exists(path):
        return None
    text = storage.read(path).decode(errors="replace").strip()
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"{path} in {lake_root} says {text[:40]!r}, and has to say a day") from None


def note_judged(lake_root: str, stream: str, day: date) -> None:
    Storage(lake_root).write(_path(stream), day.isoformat().encode())


def _path(stream: str) -> str:
    return f"{FOLDER}/{stream}.judged"
