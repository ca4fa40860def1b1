"""SIGKILL of the JVM that commits, or of its client, at named points and at random moments: nothing lost,
nothing doubled, and the run once more comes to what a run comes to that nothing happened to.

The run is real: landed bytes, bronze, staging, gate, quarantine and publish of a month of flights with broken
and repeated rows in it. A reader who looks while the server is dead sees the old table or the new one, whole.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame

from millstream.engines import sessions
from millstream.jobs import quality_gate
from millstream.lake import history
from millstream.quality.gate import run_gate
from tests.support.fault_report import Report
from tests.support.harness import UP_TIMEOUT_S, Journal, Killer, Server, after_seconds, carry, rows_of
from tests.support.month import BROKEN, MONTH, OLD, Month, Undisturbed
from tests.support.waiting import until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(900)]

PUBLISHING_CLIENT = Path(__file__).parents[1] / "support" / "publishing_client.py"


def test_a_commit_that_is_cut_off(
    server: Server, month: Month, undisturbed: Undisturbed, report: Report, point: str, log: str
) -> None:
    what = "lost the reply to" if point == "lost" else point
    with report.run(f"{what} the commit of {log.removesuffix('/_delta_log')}") as outcome:
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
        month.judge(journal, outcome)
        assert journal.failures
        month.converges(journal, undisturbed.counts)


@pytest.mark.thorough
def test_a_kill_in_the_gate(
    server: Server,
    month: Month,
    undisturbed: Undisturbed,
    report: Report,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with report.run("the JVM, while the gate counts") as outcome:
        journal, judging = Journal(), threading.Event()
        month.land("new")

        def counting(staged: DataFrame, *arguments: Any, **more: Any) -> Any:
            """The gate; what it counts until the kill comes row by row."""
            if journal.killed_at is None:
                staged = staged.where("reflect('java.lang.Thread', 'sleep', 50L) IS NOT NULL")
                judging.set()
            return run_gate(staged, *arguments, **more)

        monkeypatch.setattr(quality_gate, "run_gate", counting)
        killer = Killer(
            server, month.chain.table, month.root, journal, lambda: judging.is_set() and server.works()
        )
        killer.start()
        carry(server, month.chain, "new", [MONTH], journal)
        killer.end()
        month.judge(journal, outcome)
        assert [failure.partition(":")[0] for failure in steps_of(journal)] == ["quality_gate try 1"]
        assert journal.seen == [OLD]
        month.converges(journal, undisturbed.counts)


def steps_of(journal: Journal) -> list[str]:
    """Its failures, each without the lake and the run."""
    return [failure.rpartition("/")[2] for failure in journal.failures]


@pytest.mark.thorough
def test_a_kill_between_verdict_and_publish(
    server: Server, month: Month, undisturbed: Undisturbed, report: Report
) -> None:
    with report.run("the JVM, between verdict and publish") as outcome:
        journal, judged = Journal(), threading.Event()
        month.land("new")
        killer = Killer(server, month.chain.table, month.root, journal, judged.is_set)
        killer.start()

        def before(step: str) -> None:
            if step == "publish":
                assert month.verdicts("new")
                judged.set()
                until(lambda: journal.killed_at is not None, UP_TIMEOUT_S, "the kill")

        carry(server, month.chain, "new", [MONTH], journal, before)
        killer.end()
        month.judge(journal, outcome)
        # The publish finds nobody there.
        assert steps_of(journal) == ["publish try 1: ClusterError"]
        assert journal.seen == [OLD]
        month.converges(journal, undisturbed.counts)


@pytest.mark.thorough
def test_a_client_that_is_killed_between_the_two_commits_of_a_publish(
    server: Server, month: Month, undisturbed: Undisturbed, report: Report
) -> None:
    """The quarantine is the new run's already, the table is not; the server lives on."""
    table, url, task = month.chain.table, server.settings.connect_url, f"{month.root}/new/publish"
    with report.run("the client of a publish, between its two commits") as outcome:
        journal = Journal(tries={task: 2})
        month.land("new")
        with sessions.connect(url, f"{month.root}/new", [], tag="fault") as month.chain.spark:
            staged = month.chain.stage("new")
            month.chain.judge("new", staged)
        server.arm("before", "silver/flights/_delta_log")
        client = subprocess.Popen(
            [sys.executable, str(PUBLISHING_CLIENT), url, f"{task}/1",
             str(month.chain.drop.parent), json.dumps(staged)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        try:
            until(server.reached, UP_TIMEOUT_S, "the commit of the table")
        finally:
            client.kill()
            client.wait(10)
        journal.failures.append(f"{task} try 1: killed")
        journal.killed_at = time.monotonic()
        assert len(rows_of(table.quarantine, month.root)) == BROKEN
        assert len(rows_of(table, month.root)) == OLD
        version = history.version(table, month.root)

        with sessions.connect(url, f"{task}/2", [f"{task}/1"], tag="fault") as month.chain.spark:
            assert month.chain.version() == version, "the killed client's commit must never land"
            assert month.chain.publish("new", staged, [MONTH])["changed"]
        journal.recovered_at = time.monotonic()
        month.judge(journal, outcome)
        # The first try's commit and the second's would be two.
        assert month.chain.version() == (version or 0) + 1
        month.converges(journal, undisturbed.counts)


@pytest.fixture(scope="module")
def clean_seconds(undisturbed: Undisturbed) -> list[float]:
    """What the delivery took when nothing happened, run by run: the machine may get busier or less so."""
    return [undisturbed.seconds]


@pytest.mark.thorough
def test_a_kill_at_any_moment(
    server: Server,
    month: Month,
    undisturbed: Undisturbed,
    clean_seconds: list[float],
    report: Report,
    seed: int,
) -> None:
    with report.run("a random moment") as outcome:
        journal = Journal()
        month.land("new")
        moment = random.Random(seed).uniform(0, clean_seconds[-1])
        killer = Killer(server, month.chain.table, month.root, journal, after_seconds(moment))
        killer.start()
        carry(server, month.chain, "new", [MONTH], journal)
        killer.end()
        month.judge(journal, outcome)
        began = time.monotonic()
        month.converges(journal, undisturbed.counts)
        clean_seconds.append(time.monotonic() - began)
