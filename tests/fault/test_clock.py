"""A clock that is set by an hour in the middle of a run: what lands later stays; nothing lost or doubled.

Everything that writes the lake sees the new time at once: the Spark server, the landing, and what orders
attempts. Daylight saving changes no clock here, which all show UTC.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.fault_report import Report
from tests.support.harness import Journal, Server, account, carry, rows_of
from tests.support.machine_clock import MachineClock
from tests.support.month import MONTH, NEW, Month

pytestmark = [pytest.mark.fault, pytest.mark.thorough, pytest.mark.timeout(900)]

# Most of a run, on a machine that is neither quick nor slow.
RUN_S = 20.0


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> MachineClock:
    if not MachineClock.can_be_made():
        pytest.skip("a clock that can be set is compiled from C, and there is no compiler")
    return MachineClock(tmp_path_factory.mktemp("clock"))


@pytest.fixture(scope="module")
def clocked(
    tmp_path_factory: pytest.TempPathFactory, log_store: Path, clock: MachineClock
) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("clocked"), log_store, clock.environment)
    running.start()
    yield running
    running.kill()


def test_a_clock_that_is_set_at_any_moment(
    clocked: Server, fresh_month: Month, clock: MachineClock, tmp_path: Path, report: Report, seed: int
) -> None:
    chosen = random.Random(seed)
    hours, moment = (-1, 1)[seed % 2], chosen.uniform(0, RUN_S)
    clock.set(0)
    month, journal = Month(clocked, tmp_path, fresh_month), Journal()
    month.chain.now = clock.now
    with report.run(f"the clock set {'back' if hours < 0 else 'ahead'} by an hour") as outcome:
        setting = threading.Timer(moment, clock.set, [hours])
        setting.start()
        month.land("new")
        carry(clocked, month.chain, "new", [MONTH], journal)
        setting.join()
        month.judge(journal, outcome)

        month.deliver(month.lines[: NEW // 2])
        month.land("newest")
        assert carry(clocked, month.chain, "newest", [MONTH], journal)["changed"]
        assert len(rows_of(month.chain.table, month.root)) == NEW // 2
        # By this clock the one session was idle for an hour, and Spark Connect ends it; the next try has its
        # own.
        assert len(journal.messages) <= (1 if hours > 0 else 0), journal
        assert all("SESSION_CLOSED" in message for message in journal.messages), journal
        shown = account(month.chain.table, month.root).committed
        assert abs(shown - clock.now()) < timedelta(minutes=10), "the server did not see the clock being set"
        assert not clocked.ended()
        # It would go on for ten minutes more.
        assert b"Removing executor" not in (clocked.settings.home / "server.log").read_bytes()
