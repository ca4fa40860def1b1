"""`gold.route_delay_statistics`: from pinned flights by MapReduce to a published table, as in its DAG."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from millstream.errors import ConfigurationError, ConservationError, TransformError
from millstream.lake import history
from millstream.lake.storage import Storage
from millstream.lake.tables import text_folders
from millstream.settings import CHECKOUT
from millstream.transforms import route_delay_statistics as table
from spark_jobs.mapreduce import route_delay_statistics as script
from tests.support.mapreduce_task import CONNECTION, JOB, mapreduce
from tests.support.route_statistics import FLIGHTS, TABLE, Steps, by_spark, silver_flights
from tests.support.thorough import thorough
from tests.support.waiting import until

pytestmark = pytest.mark.spark

RUN = "manual__1"
FLIGHT = "2013-01\tUA\tEWR\tIAH\t5\t11\n"
# Long enough for a kill to meet it: a second of mapping and more.
MANY = 500_000


@pytest.fixture(scope="module")
def flights(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataFrame]:
    """The first week of each of two months."""
    months = silver_flights(spark, tmp_path_factory.mktemp("flights"), (1, 2))
    rows = months.where("day(flight_date) <= 7").persist()
    yield rows
    rows.unpersist()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(*CONNECTION)
    monkeypatch.setenv("MILLSTREAM_LAKE_ROOT", f"file://{tmp_path}/lake")
    return f"file://{tmp_path}/lake"


def differences(one: DataFrame, other: DataFrame) -> set[tuple[str, ...]]:
    """Keys of the rows that only one of the two has just so."""
    rows = one.exceptAll(other).unionByName(other.exceptAll(one)).select(*table.KEY).collect()
    return {tuple(map(str, row)) for row in rows}


def with_one_delay_more(flights: DataFrame) -> DataFrame:
    """UA 1545 of 1 January, from EWR to IAH at 5 o'clock, arrives a minute later."""
    chosen = (F.col("flight_date") == "2013-01-01") & (F.col("carrier") == "UA") & (F.col("flight") == 1545)
    return flights.withColumn("arr_delay_min", F.col("arr_delay_min") + F.when(chosen, 1).otherwise(0))


def save(flights: DataFrame, root: str) -> None:
    flights.write.format("delta").partitionBy("month").mode("overwrite").save(FLIGHTS.uri(root))


def test_the_published_table_is_sparks_own_aggregation_of_the_pinned_flights(
    spark: SparkSession, flights: DataFrame, root: str
) -> None:
    save(flights, root)
    # The run has pinned version 0; what is published meanwhile it must not see.
    save(with_one_delay_more(flights), root)
    steps = Steps(spark, root)
    exported = steps.export(RUN, 0)
    counters = mapreduce(RUN)
    published = steps.publish(RUN, steps.stage(RUN, exported), sequence=1)

    made = spark.read.format("delta").load(TABLE.uri(root)).drop("_source_row_id")
    assert [(one.name, one.dataType) for one in made.schema] == [
        (one.name, one.dataType) for one in table.SCHEMA
    ]
    pinned, later = (
        spark.read.format("delta").option("versionAsOf", version).load(FLIGHTS.uri(root))
        for version in (0, 1)
    )
    assert differences(made, by_spark(pinned)) == set()
    assert differences(made, by_spark(later)) == {("2013-01", "UA", "EWR", "IAH", "5")}

    account = history.read(TABLE, root).accounts[0]
    assert account.inputs == {"silver.flights": 0}
    assert set(account.partitions) == {"2013-01", "2013-02"}
    assert published["written"] == published["read"] == made.count() > 2_000
    assert counters["Route delay statistics"] == {"Flights": flights.count(), "Malformed lines": 0}

    # The same run once more, from its first task, changes nothing.
    exported = steps.export(RUN, 0)
    mapreduce(RUN, 2)
    assert not steps.publish(RUN, steps.stage(RUN, exported), sequence=2)["changed"]


def test_a_job_that_loses_a_line_is_not_published(spark: SparkSession, flights: DataFrame, root: str) -> None:
    january = flights.where("month = '2013-01'")
    save(january, root)
    steps = Steps(spark, root)
    exported = steps.export(RUN, 0)
    folders = text_folders(JOB, RUN)
    part = next(
        path for path in Path(root.removeprefix("file://"), folders.input).iterdir() if path.suffix == ".txt"
    )
    part.write_text("".join(part.read_text().splitlines(keepends=True)[1:]))
    # Hadoop would refuse a file that is not as its checksum says.
    part.with_name(f".{part.name}.crc").unlink()
    mapreduce(RUN)
    lines = january.count()
    told = f"{lines} lines were exported, and {lines - 1} are in the column"
    with pytest.raises(ConservationError, match=told):
        steps.stage(RUN, exported)


def test_a_flight_that_the_job_cannot_count_is_named(
    spark: SparkSession, flights: DataFrame, root: str
) -> None:
    save(flights.limit(10).withColumn("dest", F.lit(None).cast("string")), root)
    Steps(spark, root).export(RUN, 0)
    with pytest.raises(TransformError, match=r"10 malformed of 10 lines.*input/part-"):
        mapreduce(RUN)


def test_a_lake_elsewhere_is_refused_in_words(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MAPREDUCE_DEFAULT", '{"conn_type": "http"}')
    with pytest.raises(ConfigurationError, match="of type http; a MapReduce job needs hadoop_local"):
        mapreduce(RUN)


class Task:
    """The task in a process of its own, as Airflow runs it, with a job that takes some seconds."""

    def __init__(self, root: str) -> None:
        environment = {**os.environ, "MILLSTREAM_LAKE_ROOT": root}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.mapreduce_task", RUN], cwd=CHECKOUT, env=environment
        )

    def hadoop(self) -> list[psutil.Process]:
        """Hadoop and the scripts that it has started."""
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def maps(self) -> bool:
        assert self.process.poll() is None, "the task ended before it could be killed"
        return any("mapper" in arguments(one) for one in self.hadoop())

    def __enter__(self) -> Task:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait(30)


def arguments(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        # It has just ended.
        return []


@pytest.mark.timeout(180)
@pytest.mark.parametrize("how", [signal.SIGKILL, *thorough(signal.SIGTERM)], ids=["killed", "cleared"])
def test_a_task_that_is_killed_and_tried_again_leaves_the_same_output(
    root: str, how: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = text_folders(JOB, RUN)
    storage = Storage(root)
    storage.write(f"{folders.input}/part-0.txt", (FLIGHT * MANY).encode())
    with Task(root) as task:
        until(task.maps, 60, "a mapper")
        started = task.hadoop()
        task.process.send_signal(how)
        assert task.process.wait(30) != 0
    assert not storage.exists(folders.output)
    if how is signal.SIGTERM:
        # A task that is cleared takes Hadoop and its scripts with it.
        assert psutil.wait_procs(started, 10)[1] == []

    # A killed one cannot: what it has started may still run beside the next try.
    counters = mapreduce(RUN, 2)
    assert counters[script.COUNTERS] == {"Flights": MANY, "Malformed lines": 0}
    parts = [name for name in storage.list(folders.output) if name.startswith("part-")]
    text = b"".join(storage.read(f"{folders.output}/{name}") for name in parts).decode()
    values = "\t".join(map(str, [MANY, MANY, 11 * MANY, 121 * MANY, 0, 0, 0, 0, MANY, 0, 0, 0, 0]))
    assert text == f"2013-01\tUA\tEWR\tIAH\t5\t{values}\n"
    psutil.wait_procs(started, 60)
