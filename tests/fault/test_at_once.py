"""Runs beside each other, on one server: no pair of them loses, doubles or mixes rows."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from chain import Chain
from fault_report import Outcome, Report
from harness import Journal, Server, carry, rows_of
from month import BROKEN, MONTH, NEW, REPEATED, Month

from millstream import jobs, ledger, sessions
from millstream.errors import SupersededError
from millstream.lake.tables import TableRef

pytestmark = [pytest.mark.fault, pytest.mark.timeout(900), pytest.mark.usefixtures("connected_threads")]

NEXT_MONTH = "2013-02"


def at_once(*work: Callable[[], Any]) -> list[Any]:
    """What each of them returns or, where a newer run was there first, None."""

    def done(one: Callable[[], Any]) -> Any:
        try:
            return one()
        except SupersededError:
            return None

    with ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(done, work))


def runner(month: Month, run: str, months: list[str], journal: Journal) -> Callable[[], Any]:
    """The run as a process of its own would carry it: with a session of its own."""
    own = Chain(None, month.chain.drop.parent, month.chain.contract, month.chain.suite)  # type: ignore[arg-type]
    return lambda: carry(month.server, own, run, months, journal)


def offset(seed: int, seconds: float, work: Callable[[], Any]) -> Callable[[], Any]:
    """The work, begun at a moment that the seed chooses; nothing waits for that moment."""

    def later() -> Any:
        time.sleep(random.Random(seed).uniform(0, seconds))
        return work()

    return later


@pytest.mark.thorough
def test_one_month_twice(server: Server, month: Month, report: Report, seed: int) -> None:
    journals = [Journal(), Journal()]
    for run in ("new", "twin"):
        month.land(run)
    published = at_once(
        runner(month, "new", [MONTH], journals[0]),
        offset(seed, 3.0, runner(month, "twin", [MONTH], journals[1])),
    )
    assert any(published), "one of them must win"
    month.judge("one month twice at once", journals[0], report)


def test_a_backfill_beside_the_daily_run(server: Server, month: Month, report: Report, seed: int) -> None:
    february = month.lines_of(2, NEW)
    month.deliver(february, NEXT_MONTH)
    month.land("new")
    month.chain.land("backfill", [MONTH, NEXT_MONTH])
    journals = [Journal(), Journal()]
    at_once(
        runner(month, "backfill", [MONTH, NEXT_MONTH], journals[0]),
        offset(seed, 3.0, runner(month, "new", [MONTH], journals[1])),
    )
    read, written = counted(month, "a backfill beside the daily run", report)
    assert read == NEW + REPEATED + len(february), journals
    assert written == NEW - BROKEN + len(february)


def counted(month: Month, case: str, report: Report) -> tuple[int, int]:
    """Rows that were read and that are published, by partition's newest account; none lost, none doubled."""
    table = TableRef.parse("silver.flights")
    published, kept = rows_of(table, month.root), rows_of(table.quarantine, month.root)
    counts = [counts for _, counts in ledger.latest_by_partition(table, month.root).values()]
    doubled = sum(count - 1 for count in Counter([*published, *kept]).values())
    read = sum(one.read for one in counts)
    lost = read - len(set(published)) - len(set(kept)) - sum(one.deduplicated for one in counts)
    report.add(case, Outcome(0.0, lost, doubled))
    assert (lost, doubled) == (0, 0)
    return read, len(published)


@pytest.mark.thorough
def test_a_replay_beside_a_newer_ingest(server: Server, month: Month, report: Report, seed: int) -> None:
    """Whichever looks first: in the end stands what landed last."""
    month.land("new")
    carry(server, month.chain, "new", [MONTH], Journal())
    newest = month.lines[: NEW // 2]
    month.deliver(newest)
    month.land("newest")
    own = Chain(None, month.chain.drop.parent, month.chain.contract, month.chain.suite)  # type: ignore[arg-type]

    def replay() -> list[dict[str, Any]]:
        with sessions.connect(
            server.settings.connect_url, f"{month.root}/replay", [], tag="replay"
        ) as own.spark:
            return own.replay("replay")

    at_once(
        offset(seed, 6.0, replay),
        offset(seed + 1000, 6.0, runner(month, "newest", [MONTH], Journal())),
    )
    assert counted(month, "a replay beside a newer ingest", report) == (len(newest), len(newest))


@contextmanager
def maintenance(server: Server, root: str, rounds: list[dict[str, Any]]) -> Iterator[None]:
    """OPTIMIZE and VACUUM of every table, again and again, for as long as the block lasts."""
    stop = threading.Event()

    def again() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            with sessions.connect(
                server.settings.connect_url, f"{root}/maintain/{number}", [], tag="maintain"
            ) as spark:
                arguments = {"lake_root": root, "run": "m", "retention_hours": 24, "target_file_mb": 64}
                rounds.append(jobs.execute(spark, "maintain_tables", arguments))

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(again)
        try:
            yield
        finally:
            stop.set()
        working.result()


@pytest.mark.thorough
def test_a_writer_beside_maintenance(server: Server, month: Month, report: Report, seed: int) -> None:
    journal, rounds = Journal(), []  # type: ignore[var-annotated]
    month.land("new")
    with maintenance(server, month.root, rounds):
        offset(seed, 3.0, runner(month, "new", [MONTH], journal))()
    assert rounds
    month.judge("a writer beside OPTIMIZE and VACUUM", journal, report)
