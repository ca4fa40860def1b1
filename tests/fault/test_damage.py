"""Full disks, damaged files, a server out of memory: loud at once, whole afterwards."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from millstream.engines import sessions
from millstream.lake.tables import TableRef
from tests.support.fault_report import Report
from tests.support.harness import Journal, Killer, Server, carry, rows_of
from tests.support.month import MONTH, OLD, Month, Undisturbed
from tests.support.small_disk import fill, free, mounted
from tests.support.waiting import until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(900)]

DISK_BYTES = 16 << 20
SCRATCH_BYTES = 128 << 20
NO_SPACE = "No space left on device"
NOTICED_TIMEOUT_S = 300.0
FLIGHTS = TableRef.parse("silver.flights")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", DISK_BYTES) as disk:
        yield disk


@pytest.fixture(scope="module", params=["scratch", "spark-events"])
def cramped(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, log_store: Path
) -> Iterator[tuple[Server, Path]]:
    """A server whose scratch space, or whose event log, is a small disk."""
    home = tmp_path_factory.mktemp("cramped")
    with mounted(home / request.param, SCRATCH_BYTES) as disk:
        running = Server(home, log_store)
        running.start()
        yield running, disk
        running.kill()


def when(condition: Callable[[], bool], then: Callable[[], None]) -> threading.Thread:
    """Do something as soon as the condition holds."""

    def watch() -> None:
        until(condition, NOTICED_TIMEOUT_S, "the fault to be noticed")
        then()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


@pytest.mark.thorough
def test_a_full_disk(server: Server, fresh_month: Month, small_disk: Path, report: Report, seed: int) -> None:
    month = Month(server, small_disk, fresh_month)
    with report.run("a full disk under the lake") as outcome:
        journal = Journal()
        month.land("new")
        ballast = fill(small_disk, leave=random.Random(seed).randrange(0, 256 << 10))

        def make_room() -> None:
            journal.seen.append(len(rows_of(FLIGHTS, month.root)))
            ballast.unlink()

        freed = when(lambda: bool(journal.failures), make_room)
        carry(server, month.chain, "new", [MONTH], journal)
        assert any(NO_SPACE in message for message in journal.messages), journal
        freed.join(NOTICED_TIMEOUT_S)
        month.judge(journal, outcome)


@pytest.mark.thorough
def test_a_full_disk_under_the_servers_own_files(
    cramped: tuple[Server, Path], fresh_month: Month, tmp_path: Path, report: Report, seed: int
) -> None:
    """Shuffles and spills, or Spark's event log: the one fails a try, the other is no part of the data."""
    server, disk = cramped
    month, journal = Month(server, tmp_path, fresh_month), Journal()
    what = {
        "scratch": "a full disk under Spark's scratch space",
        "spark-events": "a full disk under Spark's event log: cut off, and no try fails",
    }[disk.name]
    with report.run(what) as outcome:
        month.land("new")
        # Some pages, so that it is the server that takes the last one.
        ballast = fill(disk, leave=random.Random(seed).randrange(8 << 10, 64 << 10))
        assert free(disk) > 0
        left = []

        def make_room() -> None:
            left.append(free(disk))
            ballast.unlink()

        freed = when(lambda: bool(journal.failures) or journal.recovered_at is not None, make_room)
        carry(server, month.chain, "new", [MONTH], journal)
        freed.join(NOTICED_TIMEOUT_S)
        month.judge(journal, outcome)
        if disk.name == "scratch":
            assert any(NO_SPACE in message for message in journal.messages), journal
        else:
            # Spark's writer of events keeps its errors to itself.
            assert (journal.failures, left) == ([], [0])


def flip_a_byte(file: Path) -> None:
    whole = bytearray(file.read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    file.write_bytes(whole)


def data_files(table: TableRef, root: str) -> list[Path]:
    folder = Path(table.uri(root).removeprefix("file://"))
    return [path for path in folder.rglob("*.parquet") if "_delta_log" not in path.parts]


@pytest.mark.thorough
def test_a_damaged_bronze_file_stops_the_run_and_loading_again_heals(
    server: Server, month: Month, report: Report
) -> None:
    with report.run("a damaged file in bronze") as outcome:
        journal = Journal()
        month.land("new")
        with sessions.connect(server.settings.connect_url, f"{month.root}/load", [], tag="fault") as spark:
            month.chain.spark = spark
            old = set(data_files(TableRef.parse("bronze.flights"), month.root))
            month.chain.load_bronze("new")
            for file in set(data_files(TableRef.parse("bronze.flights"), month.root)) - old:
                # Past its header, so that the file passes for Parquet until its pages are read.
                file.write_bytes(file.read_bytes()[:8] + bytes(file.stat().st_size - 8))
            with pytest.raises(Exception, match=r"(?i)parquet|corrupt") as refused:
                month.chain.transform("new")
        failed(journal, "transform", refused.value)
        assert len(rows_of(FLIGHTS, month.root)) == OLD
        carry(server, month.chain, "new", [MONTH], journal)
        month.judge(journal, outcome)


@pytest.mark.thorough
def test_a_damaged_landed_file_stops_the_run_and_landing_again_heals(
    server: Server, month: Month, report: Report
) -> None:
    with report.run("a damaged file in landing") as outcome:
        journal = Journal()
        month.land("new")
        landed = Path(month.root.removeprefix("file://")).glob("landing/flights/partition=*/*.zip")
        flip_a_byte(max(landed, key=lambda file: file.stat().st_mtime_ns))
        with sessions.connect(server.settings.connect_url, f"{month.root}/load", [], tag="fault") as spark:
            month.chain.spark = spark
            with pytest.raises(Exception, match=r"(?i)checksum|zip|crc|invalid") as refused:
                month.chain.load_bronze("new")
        failed(journal, "load_bronze", refused.value)
        assert len(rows_of(FLIGHTS, month.root)) == OLD
        month.land("new")
        carry(server, month.chain, "new", [MONTH], journal)
        month.judge(journal, outcome)


def failed(journal: Journal, step: str, error: Exception) -> None:
    """Note a try that was not carried by the harness."""
    journal.failures.append(f"{step}: {type(error).__name__}")
    journal.messages.append(str(error))


@pytest.mark.thorough
@pytest.mark.usefixtures("connected_threads")
def test_a_server_out_of_memory_dies_and_its_run_goes_on(
    server: Server, month: Month, undisturbed: Undisturbed, report: Report
) -> None:
    with report.run("a server out of memory") as outcome:
        journal = Journal()
        month.land("new")
        killer = Killer(server, FLIGHTS, month.root, journal, server.ended)
        killer.start()
        threading.Thread(target=_eat, args=(server, month), daemon=True).start()
        carry(server, month.chain, "new", [MONTH], journal)
        killer.end()
        assert server.exit_code not in (0, -signal.SIGKILL), "it did not end by itself"
        month.judge(journal, outcome)
        month.converges(journal, undisturbed.counts)


def _eat(server: Server, month: Month) -> None:
    """More than the server's memory, in one row."""
    with (
        suppress(Exception),
        sessions.connect(server.settings.connect_url, f"{month.root}/hungry", [], tag="fault") as spark,
    ):
        spark.sql("SELECT collect_list(repeat('x', 10000000)) FROM range(0, 100000, 1, 1)").collect()
