"""How far everything that happened has come to a stream, by the newest event of each partition."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta

from millstream.streams.live_features import event_clock, held_back

MORNING = datetime(2013, 1, 4, 9, 30, tzinfo=UTC)


def test_the_partition_that_is_least_far_is_the_clock_and_holding_back_a_day_is_said() -> None:
    newest = {0: MORNING + timedelta(days=1), 1: MORNING}
    assert event_clock(newest) == MORNING
    assert held_back(newest) == ""

    behind = held_back({**newest, 2: MORNING + timedelta(days=1, seconds=1)})
    assert behind.startswith("partition 1 of the topic has had no event since 2013-01-04 09:30 UTC")
    assert "What to do" in behind


def test_a_stream_without_predictions_loads_no_model() -> None:
    code = (
        "import sys, millstream.streams.process as _; "
        "print([name for name in sys.modules if name.startswith(('pyspark.ml', 'mlflow', 'millstream.ml'))])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
