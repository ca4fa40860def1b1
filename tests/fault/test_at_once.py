"""Runs beside each other, on one server: no pair of them loses, doubles or mixes rows."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from deltalake import DeltaTable

from millstream import jobs
from millstream.engines import sessions
from millstream.errors import SupersededError, TransientError
from millstream.lake import history
from millstream.lake.tables import TableRef
from tests.support.chain import Chain
from tests.support.fault_report import Outcome, Report
from tests.support.harness import Journal, Server, carry, rows_of
from tests.support.month import BROKEN, MONTH, NEW, REPEATED, Month, Undisturbed
from tests.support.old_files import split

pytestmark = [pytest.mark.fault, pytest.mark.timeout(900), pytest.mark.usefixtures("connected_threads")]

NEXT_MONTH = "2013-02"
FLIGHTS = TableRef.parse("silver.flights")
MAINTAINED = (FLIGHTS, TableRef.parse("bronze.flights"))
SMALL_FILES = 8
RETENTION_HOURS = 24


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
def test_one_month_twice(
    server: Server, month: Month, undisturbed: Undisturbed, report: Report, seed: int
) -> None:
    with report.run("one month twice at once") as outcome:
        journal = Journal()
        for run in ("new", "twin"):
            month.land(run)
        published = at_once(
            runner(month, "new", [MONTH], journal),
            offset(seed, 3.0, runner(month, "twin", [MONTH], journal)),
        )
        assert any(published), "one of them must win"
        month.judge(journal, outcome)
        assert month.counts() == undisturbed.counts


@pytest.mark.thorough
def test_a_backfill_beside_the_daily_run(server: Server, month: Month, report: Report, seed: int) -> None:
    february = month.lines_of(2, NEW)
    with report.run("a backfill beside the daily run") as outcome:
        month.deliver(february, NEXT_MONTH)
        month.land("new")
        month.chain.land("backfill", [MONTH, NEXT_MONTH])
        journals = [Journal(), Journal()]
        at_once(
            runner(month, "backfill", [MONTH, NEXT_MONTH], journals[0]),
            offset(seed, 3.0, runner(month, "new", [MONTH], journals[1])),
        )
        read, written = counted(month, outcome)
        assert read == NEW + REPEATED + len(february), journals
        assert written == NEW - BROKEN + len(february)


def counted(month: Month, outcome: Outcome) -> tuple[int, int]:
    """Rows that were read and that are published, by partition's newest account; none lost, none doubled."""
    table = TableRef.parse("silver.flights")
    published, kept = rows_of(table, month.root), rows_of(table.quarantine, month.root)
    counts = [counts for _, counts in history.read(table, month.root).latest_by_partition().values()]
    doubled = sum(count - 1 for count in Counter([*published, *kept]).values())
    read = sum(one.read for one in counts)
    lost = read - len(set(published)) - len(set(kept)) - sum(one.deduplicated for one in counts)
    outcome.lost, outcome.doubled = lost, doubled
    assert (lost, doubled) == (0, 0)
    return read, len(published)


@pytest.mark.thorough
def test_a_replay_beside_a_newer_ingest(server: Server, month: Month, report: Report, seed: int) -> None:
    """Whichever looks first: in the end stands what landed last."""
    with report.run("a replay beside a newer ingest") as outcome:
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
        assert counted(month, outcome) == (len(newest), len(newest))


@contextmanager
def again_and_again(work: Callable[[int], None]) -> Iterator[None]:
    """The work, round after round, for as long as the block lasts, and at least once."""
    stop = threading.Event()

    def rounds() -> None:
        for number in itertools.count(1):
            work(number)
            if stop.wait(0.1):
                return

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(rounds)
        try:
            yield
        finally:
            stop.set()
        working.result()


def maintained(month: Month, number: int) -> None:
    """OPTIMIZE and VACUUM of every table. What fails because a writer was first, Airflow tries again."""
    url, attempt = month.server.settings.connect_url, f"{month.root}/maintain/{number}"
    arguments = {
        "lake_root": month.root,
        "run": "m",
        "retention_hours": RETENTION_HOURS,
        "target_file_mb": 64,
    }
    with suppress(TransientError), sessions.connect(url, attempt, [], tag="maintain") as spark:
        jobs.execute(spark, "maintain_tables", arguments)


@pytest.mark.thorough
def test_a_writer_beside_maintenance(
    server: Server, month: Month, undisturbed: Undisturbed, report: Report, seed: int
) -> None:
    """VACUUM removes files beside the writer, OPTIMIZE replaces those that the writer replaces, too."""
    with report.run("a writer beside OPTIMIZE and VACUUM") as outcome:
        journal = Journal()
        outdated = {
            file
            for table in MAINTAINED
            for file in split(table, month.root, SMALL_FILES, days_ago=2 * RETENTION_HOURS / 24)
        }
        assert all(file.exists() for file in outdated)
        month.land("new")
        with (
            again_and_again(lambda number: maintained(month, number)),
            again_and_again(lambda number: journal.seen.append(len(rows_of(FLIGHTS, month.root)))),
        ):
            offset(seed, 3.0, runner(month, "new", [MONTH], journal))()
        month.judge(journal, outcome)
        assert not any(file.exists() for file in outdated)
        assert compacted(month), "OPTIMIZE has put no files together"
        assert month.counts() == undisturbed.counts


def compacted(month: Month) -> list[str]:
    """Tables whose small files OPTIMIZE has put together."""
    return [
        str(table)
        for table in MAINTAINED
        for commit in DeltaTable(table.uri(month.root)).history()
        if commit.get("operation") == "OPTIMIZE"
        and int(commit.get("operationMetrics", {}).get("numRemovedFiles", 0)) >= SMALL_FILES
    ]
