"""Several Spark processes and delta-rs write the same tables, and some of the processes are killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from millstream.lake.tables import TableRef
from millstream.settings import Settings
from millstream_stack.services.spark_server import spark_properties
from tests.support import jvm
from tests.support.fault_report import Report
from tests.support.hadoop import Hdfs
from tests.support.harness import LIBRARIES
from tests.support.old_files import split
from tests.support.storm_writer import Orders
from tests.support.waiting import until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(600)]

TABLE = TableRef.parse("silver.storm")
MEMORY = Path("/dev/shm")
SPARKS = ("A", "B", "C")
MAINTAINER = "C"
ON_HDFS = ("A", "B")
DELTA_RS = "D"
BOUND_S = 300.0
# Delta's default is 100 commits; a storm has forty, and is to cross this many checkpoints. Spark makes one at
# its own commits of versions that the interval divides, delta-rs one version before: at two, few are missed.
CHECKPOINT_INTERVAL = 2
CHECKPOINTS = 10
# Of each writer, in each table.
ROWS = 10
OLD_ROWS = 8


class SparkProcess:
    """A process with a Spark session of its own that writes what it is told to."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self._orders: Orders | None = None
        self._start()

    def _start(self) -> None:
        script = Path(__file__).parents[1] / "support" / "storm_writer.py"
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(script), self.name, json.dumps(spark_conf(self.folder))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
                env={**os.environ, "SPARK_LOCAL_IP": "127.0.0.1"},
            )

    def hears(self, word: str) -> None:
        """Wait for the next word of the process; a test's own time limit bounds that."""
        assert self.process.stdout is not None
        heard = self.process.stdout.readline().strip()
        assert heard == word, f"{self.name} ended: see {self.folder / self.name}.log"

    def require_running(self) -> None:
        """Another process in its place where an earlier test has left none."""
        if self.process.poll() is not None:
            self._start()
            self.hears("ready")

    def obey(self, orders: Orders) -> None:
        self._orders = orders
        self._tell(orders)

    def _tell(self, orders: Orders) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{orders.to_json()}\n")
        self.process.stdin.flush()

    @property
    def log(self) -> str:
        return (self.folder / f"{self.name}.log").read_text()

    def kill(self) -> None:
        """SIGKILL to Python and its JVM; nothing of them is left when this returns."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate(timeout=30)

    def again(self) -> None:
        """Another process in its place, which goes on where the orders of this one were cut off."""
        assert self._orders is not None
        self._start()
        self.hears("ready")
        self._tell(self._orders)


def spark_conf(folder: Path) -> dict[str, str]:
    """As the stack's own server has it, small."""
    planned = {
        name: value
        for name, value in spark_properties(Settings()).items()
        if name.startswith(("spark.sql.", "spark.databricks.", "spark.delta.", "spark.hadoop."))
    }
    return {
        **planned,
        "spark.driver.extraClassPath": LIBRARIES[1],
        "spark.driver.memory": "700m",
        "spark.driver.extraJavaOptions": jvm.SHORT_LIVED,
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.local.dir": str(folder / "scratch"),
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.sql.shuffle.partitions": "1",
        "spark.databricks.delta.snapshotPartitions": "1",
        # A row a commit: compiling takes longer than all the work.
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        "spark.sql.codegen.wholeStage": "false",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }


@dataclass
class Storm:
    """The tables of one storm, each on a file system of its own, and what is known of their rows."""

    roots: list[str]
    signals: Path
    outdated: set[Path] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Tables with a few rows, in files that a commit has replaced long ago."""
        old = pa.table({"writer": ["old"] * OLD_ROWS, "number": list(range(OLD_ROWS))})
        settings = {
            "delta.checkpointInterval": str(CHECKPOINT_INTERVAL),
            "delta.enableExpiredLogCleanup": "false",
            "delta.deletedFileRetentionDuration": "interval 24 hours",
        }
        for root in self.roots:
            write_deltalake(TABLE.uri(root), old, configuration=settings)
            if root.startswith("file://"):
                self.outdated |= split(TABLE, root, 2, days_ago=2)

    @property
    def rows(self) -> int:
        """What each writer is to write."""
        return ROWS * len(self.roots)

    @property
    def tables(self) -> list[str]:
        return [TABLE.uri(root) for root in self.roots]

    def acknowledged(self, name: str) -> list[tuple[int, int]]:
        """Table and number of each row, of one writer."""
        path = self.signals / f"{name}.acks"
        if not path.exists():
            return []
        pairs = (line.split() for line in path.read_text().splitlines())
        return [(int(table), int(number)) for table, number in pairs]

    def count(self) -> int:
        return sum(len(self.acknowledged(name)) for name in (*SPARKS, DELTA_RS))

    def write_by_delta_rs(self) -> None:
        with (self.signals / f"{DELTA_RS}.acks").open("a") as acks:
            for number in range(self.rows):
                # Not faster than the others.
                until(lambda number=number: len(self.acknowledged("A")) >= number, BOUND_S, "A")  # type: ignore[misc]
                table = number % len(self.tables)
                row = pa.table({"writer": [DELTA_RS], "number": [number]})
                write_deltalake(self.tables[table], row, mode="append")
                acks.write(f"{table} {number}\n")
                acks.flush()

    def compare(self) -> tuple[int, int]:
        """How many acknowledged rows are lost, and how many rows are there twice; no other row is there."""
        lost = doubled = 0
        for number, table in enumerate(self.tables):
            wanted = {
                (name, row)
                for name in (*SPARKS, DELTA_RS)
                for at, row in self.acknowledged(name)
                if at == number
            } | {("old", row) for row in range(OLD_ROWS)}
            rows = DeltaTable(table).to_pyarrow_table().to_pylist()
            counts = Counter((row["writer"], row["number"]) for row in rows)
            lost += len(wanted - set(counts))
            doubled += sum(times - 1 for times in counts.values())
            assert set(counts) <= wanted
        return lost, doubled

    def unbroken(self) -> bool:
        """Whether each table's log has an entry for every version since its first."""
        return all(
            [one["version"] for one in reversed(table.history())] == list(range(table.version() + 1))
            for table in map(DeltaTable, self.tables)
        )

    def checkpoints(self) -> list[int]:
        """By table: how many checkpoints its log has."""
        return [len(list(log.glob("*.checkpoint.parquet"))) for log in self.logs()]

    def logs(self) -> list[Path]:
        return [Path(table.removeprefix("file://")) / "_delta_log" for table in self.tables]


@pytest.fixture(scope="module")
def sparks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, SparkProcess]]:
    folder = tmp_path_factory.mktemp("sparks")
    processes = {name: SparkProcess(name, folder) for name in SPARKS}
    try:
        for one in processes.values():
            one.hears("ready")
        yield processes
    finally:
        for one in processes.values():
            one.kill()


class Reader(threading.Thread):
    """Reads a table again and again: its rows never become fewer."""

    def __init__(self, table: str) -> None:
        super().__init__(daemon=True)
        self.table, self.stop = table, threading.Event()
        self.seen = [0]
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            while not self.stop.wait(1):
                self.seen.append(DeltaTable(self.table).to_pyarrow_table(columns=["number"]).num_rows)
        except BaseException as error:
            self.error = error

    def end(self) -> None:
        self.stop.set()
        self.join(BOUND_S)
        assert self.error is None, self.error
        assert self.seen == sorted(self.seen)


@pytest.mark.thorough
def test_a_storm_of_writers_that_are_killed(
    sparks: dict[str, SparkProcess], tmp_path: Path, report: Report, seed: int
) -> None:
    chance = random.Random(seed)
    with (
        report.run("three Spark processes and delta-rs, killed and maintained") as outcome,
        ExitStack() as end,
    ):
        memory = end.enter_context(TemporaryDirectory(dir=MEMORY, prefix="millstream-"))
        storm = Storm([f"file://{tmp_path}/lake", f"file://{memory}/lake"], tmp_path)
        readers = [Reader(table) for table in storm.tables]
        delta_rs = threading.Thread(target=storm.write_by_delta_rs, daemon=True)
        for name, process in sparks.items():
            process.require_running()
            process.obey(Orders(str(tmp_path), storm.tables, storm.rows, seed, name == MAINTAINER))
        for thread in (*readers, delta_rs):
            thread.start()
        victims = chance.sample(SPARKS, chance.randint(1, 2))
        for name in victims:
            moment = storm.count() + chance.randint(3, storm.rows)
            until(lambda moment=moment: storm.count() >= moment, BOUND_S, "rows")  # type: ignore[misc]
            sparks[name].kill()
            sparks[name].again()
        for process in sparks.values():
            process.hears("done")
        delta_rs.join(BOUND_S)
        for reader in readers:
            reader.end()
        outcome.hit = True
        outcome.lost, outcome.doubled = storm.compare()
        assert (outcome.lost, outcome.doubled) == (0, 0)
        assert storm.count() == (len(SPARKS) + 1) * storm.rows
        assert min(storm.checkpoints()) >= CHECKPOINTS
        assert not any(file.exists() for file in storm.outdated), "VACUUM has removed nothing"
        # What is replaced has no checksum file beside it, which could be that of another process.
        assert not any((log / "._last_checkpoint.crc").exists() for log in storm.logs())
        assert not any("Checksum" in process.log for process in sparks.values())


@pytest.mark.thorough
def test_writers_on_hdfs_of_which_one_is_killed(
    sparks: dict[str, SparkProcess], hdfs: Hdfs, tmp_path: Path, report: Report, seed: int
) -> None:
    """No process sees the others but through HDFS, which gives a log entry's name to one of them."""
    chance = random.Random(seed)
    with report.run("two Spark processes and delta-rs on HDFS, one killed") as outcome:
        storm = Storm([f"{hdfs.uri}/storms/{tmp_path.name}"], tmp_path)
        delta_rs = threading.Thread(target=storm.write_by_delta_rs, daemon=True)
        for name in ON_HDFS:
            sparks[name].require_running()
            sparks[name].obey(Orders(str(tmp_path), storm.tables, storm.rows, seed, maintains=False))
        delta_rs.start()
        victim, moment = sparks[chance.choice(ON_HDFS)], chance.randint(3, storm.rows)
        until(lambda: storm.count() >= moment, BOUND_S, "rows")
        victim.kill()
        victim.again()
        for name in ON_HDFS:
            sparks[name].hears("done")
        delta_rs.join(BOUND_S)
        outcome.hit = True
        outcome.lost, outcome.doubled = storm.compare()
        assert (outcome.lost, outcome.doubled) == (0, 0)
        assert storm.count() == (len(ON_HDFS) + 1) * storm.rows
        assert storm.unbroken()
