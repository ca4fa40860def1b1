"""SIGKILL of the JVM that commits, at named points and at random moments: nothing lost, nothing doubled.

The run is real: landed bytes, bronze, staging, gate, quarantine and publish of a month of flights with broken
and repeated rows in it. A reader who looks while the server is dead sees the old table or the new one, whole.
"""

from __future__ import annotations

import random
import time

import pytest
from fault_report import Report
from harness import Journal, Killer, Server, after_seconds, carry
from month import MONTH, Month

pytestmark = [pytest.mark.fault, pytest.mark.timeout(900)]


def test_a_commit_that_is_cut_off(server: Server, month: Month, report: Report, point: str, log: str) -> None:
    journal = Journal()
    month.land("new")
    server.arm(point, log)
    killer = Killer(server, month.chain.table, month.root, journal, server.reached)
    # A lost reply needs no kill: the server goes on, believing that its commit has failed.
    if point != "lost":
        killer.start()
    carry(server, month.chain, "new", [MONTH], journal)
    if point != "lost":
        killer.end()
    assert server.reached(), "the run never came to the point"
    what = "lost the reply to" if point == "lost" else point
    month.judge(f"{what} the commit of {log.removesuffix('/_delta_log')}", journal, report)


@pytest.fixture(scope="module")
def clean_seconds(server: Server, fresh_month: Month, tmp_path_factory: pytest.TempPathFactory) -> float:
    """What the delivery takes when nothing happens."""
    month = Month(server, tmp_path_factory.mktemp("clean"), fresh_month)
    began = time.monotonic()
    month.land("new")
    carry(server, month.chain, "new", [MONTH], Journal())
    return time.monotonic() - began


def test_a_kill_at_any_moment(
    server: Server, clean_seconds: float, month: Month, report: Report, seed: int
) -> None:
    journal = Journal()
    month.land("new")
    moment = random.Random(seed).uniform(0, clean_seconds)
    killer = Killer(server, month.chain.table, month.root, journal, after_seconds(moment))
    killer.start()
    carry(server, month.chain, "new", [MONTH], journal)
    killer.end()
    month.judge("a random moment", journal, report)
