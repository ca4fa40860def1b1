"""The stream is killed with -9 at random moments, Python, Java or both: nothing is lost or doubled."""

from __future__ import annotations

import random
import time
from collections import Counter
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from millstream.lake import history
from millstream.lake.storage import local_uri
from millstream.lake.tables import TableRef
from tests.support.broker import RunningBroker
from tests.support.fault_report import Report
from tests.support.harness import after_seconds
from tests.support.streaming import VICTIMS, StreamProcess, day_messages, event_ids, rows, stream
from tests.support.waiting import until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(1200)]

# Of each seed; of the quick part.
KILLS, FEWEST = 3, 1
SLICES = 12
# From the first record on a stream needs some seconds for itself, so a kill hits all of its steps.
LONGEST_S = 4.0
REACHED_S = 300.0
# So that a few hundred records are many micro-batches.
SMALL = ("--most-records", "60")


def test_killed_streams_lose_and_double_nothing(
    broker: RunningBroker, tmp_path: Path, seed: int, report: Report, request: pytest.FixtureRequest
) -> None:
    chance, topic = random.Random(seed), f"flights-{seed}"
    broker.create(topic)
    root, sent = local_uri(tmp_path / "lake"), day_messages()
    size = len(sent) // SLICES + 1
    parts = [sent[first : first + size] for first in range(0, len(sent), size)]
    silver = stream(root).silver

    def started(*options: str) -> StreamProcess:
        process = StreamProcess(broker, root, tmp_path, *options, topic=topic)
        request.addfinalizer(process.end)
        return process

    with report.run("stream killed") as outcome:
        kills = KILLS if request.config.getoption("--fault-seeds") else FEWEST
        for number in range(kills):
            process = started(*SMALL)
            # Something to read as soon as it begins, and more while it is at it.
            for part in parts[number * SLICES // kills : (number + 1) * SLICES // kills]:
                broker.send(topic, part)
            begun = partial(_has_committed, process, silver, root, history.version(silver, root))
            until(begun, REACHED_S, f"a commit: {process.log}")
            until(after_seconds(chance.uniform(0, LONGEST_S)), LONGEST_S + 1, "the moment")
            process.kill(chance.choice(VICTIMS))
        killed = time.monotonic()
        process = started("--available-now")
        assert process.wait() == 0, process.log.read_text()[-4000:]
        outcome.recovery_s = time.monotonic() - killed

        found = Counter(row["event_id"] for row in rows(str(silver), root))
        outcome.lost = len(set(event_ids(sent)) - found.keys())
        outcome.doubled = sum(times - 1 for times in found.values())
        assert (outcome.lost, outcome.doubled) == (0, 0)
        assert_accounts(root, len(sent))


def _has_committed(process: StreamProcess, silver: TableRef, root: str, before: int | None) -> bool:
    assert process.process.poll() is None, process.log.read_text()[-4000:]
    return history.version(silver, root) != before


def assert_accounts(root: str, sent: int) -> None:
    """The accounts of each table follow each other without a gap, and count what is there."""
    for name in ("bronze.flight_events", "silver.flight_events"):
        accounts = history.read(TableRef.parse(name), root).accounts[::-1]
        offsets = [account.offsets for account in accounts]
        assert all(one is not None for one in offsets)
        for before, after in pairwise(offsets):
            assert before is not None
            assert after is not None
            assert {**after.start, **before.end} == after.start
        assert sum(account.read for account in accounts) == sent
        assert sum(account.written for account in accounts) == len(rows(name, root))
