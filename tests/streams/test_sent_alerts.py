"""What is shown of a real topic of alerts, in which others may have sent something, too."""

from __future__ import annotations

from millstream.streams.access import without_login
from millstream.streams.alert_snapshot import SentAlerts
from tests.support.broker import Message, RunningBroker

TOPIC = "shown"
OURS: Message = ("E1", b'{"alert": "late", "flight": 1}', [("event_id", "E1"), ("alert", "late")], 0)
FOREIGN: list[Message] = [
    ("k", b"a line that somebody typed", [], 0),
    ("k", None, [], 0),
    ("k", b"{}", [("event_id", b"\xff"), ("alert", "late")], 0),
    ("k", b"not JSON", [("event_id", "E2"), ("alert", "late")], 0),
    ("k", b"5", [("event_id", "E3"), ("alert", "late")], 0),
]


def test_what_is_no_alert_is_counted_and_left_out(broker: RunningBroker) -> None:
    broker.create(TOPIC)
    broker.send(TOPIC, [*FOREIGN, OURS, *FOREIGN])
    sent, latest = SentAlerts(without_login(broker.servers), TOPIC).look()
    broker.delete(TOPIC)
    assert sent == 2 * len(FOREIGN) + 1
    assert [(one.alert, one.event_id, one.event["flight"]) for one in latest] == [("late", "E1", 1)]
