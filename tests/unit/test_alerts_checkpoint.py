"""The checkpoint of alerts is that of one topic, by the id that the broker gave it."""

from __future__ import annotations

from pathlib import Path

import pytest

from millstream.errors import StreamPositionError
from millstream.streams.alerts import _checkpoint


# As the client writes ids: letters of base64, two of which have a meaning in paths.
@pytest.mark.parametrize(
    "topic_id", ["q1SNnOOSluENild2yhqfwA", "N/qSNnOOSlu+Nild2yhqfw", "/N//SNnOOSluENild2yhq"]
)
def test_alerts_go_on_from_the_checkpoint_of_their_topic_and_from_no_other(
    tmp_path: Path, topic_id: str
) -> None:
    folder = tmp_path / "flight_events.alerts"
    first = _checkpoint(folder, "flights", topic_id)
    assert first.parent == folder
    first.mkdir(parents=True)
    assert _checkpoint(folder, "flights", topic_id) == first
    with pytest.raises(StreamPositionError, match="the topic flights was made anew, or is another one"):
        _checkpoint(folder, "flights", "another")
