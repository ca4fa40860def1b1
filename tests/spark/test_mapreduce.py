"""The MapReduce job of route delay statistics, by Hadoop's local runner, beside Spark's own aggregation."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from millstream.bronze.typed import typed
from millstream.engines.mapreduce import ROUTE_DELAY_STATISTICS, Counters, StreamingJob, run_local
from millstream.errors import ClusterError, TransformError
from millstream.settings import Settings
from millstream.transforms import flights as flights_table
from millstream_demo import reference
from spark_jobs.mapreduce.route_delay_statistics import INPUT, KEY, STATISTICS
from tests.support.chain import contract_of

pytestmark = pytest.mark.spark

FLIGHT = "2013-01\tUA\tEWR\tIAH\t5\t11\n"
# By key.
Rows = dict[tuple[str, ...], tuple[int, ...]]


@pytest.fixture(scope="module")
def flights(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> DataFrame:
    """Real flights of January and February 2013 in the columns of the job's input."""
    header, *lines = reference.flight_lines()
    source = tmp_path_factory.mktemp("flights") / "flights.csv"
    source.write_bytes(header + b"".join(line for line in lines if line.split(b",")[1] in (b"1", b"2")))
    raw = spark.read.csv(str(source), header=True).withColumns(
        {
            **{name: F.lit(None).cast("string") for name in ("_record_error", "_record", "_added")},
            **{"_source_file": F.lit(source.name), "_source_row": F.lit("1")},
        }
    )
    silver = flights_table.transform(typed(raw, contract_of("flights")))
    rows = silver.select(
        *("month", "carrier", "origin", "dest", "flight", "flight_date"),
        F.hour("sched_dep_local").alias("hour"),
        F.col("arr_delay_min").cast("int").alias("arr_delay_min"),
    ).cache()
    assert rows.count() == 51_955
    assert silver.where("arr_delay_min != cast(arr_delay_min AS int)").isEmpty()
    return rows


def by_mapreduce(flights: DataFrame, folder: Path) -> tuple[Rows, Counters]:
    columns = [F.coalesce(F.col(name).cast("string"), F.lit("")) for name in INPUT]
    # Several files, so that combiners of several maps write the same keys.
    flights.repartition(3).select(F.concat_ws("\t", *columns)).write.text(str(folder / "input"))
    counters = run(ROUTE_DELAY_STATISTICS, folder)
    rows = [
        line.split("\t")
        for part in sorted((folder / "gold" / "output").glob("part-*"))
        for line in part.read_text().splitlines()
    ]
    of_keys = {tuple(row[: len(KEY)]): tuple(map(int, row[len(KEY) :])) for row in rows}
    assert len(of_keys) == len(rows)
    return of_keys, counters


def run(job: StreamingJob, folder: Path) -> Counters:
    scratch = folder / "scratch"
    scratch.mkdir()
    try:
        return run_local(
            job, folder / "input", folder / "gold" / "output", jars=Settings().home / "jars", scratch=scratch
        )
    finally:
        assert list(scratch.iterdir()) == []


def by_spark(flights: DataFrame) -> Rows:
    delay = "CAST(arr_delay_min AS BIGINT)"
    statistics = {
        "flights": "count(*)",
        "arrivals": f"count({delay})",
        "delay_sum_min": f"coalesce(sum({delay}), 0)",
        "delay_squares_min2": f"coalesce(sum({delay} * {delay}), 0)",
        "late_arrivals": f"count_if({delay} > 15)",
        "arrivals_to_minus_30_min": f"count_if({delay} <= -30)",
        "arrivals_to_minus_15_min": f"count_if({delay} BETWEEN -29 AND -15)",
        "arrivals_to_0_min": f"count_if({delay} BETWEEN -14 AND 0)",
        "arrivals_to_15_min": f"count_if({delay} BETWEEN 1 AND 15)",
        "arrivals_to_30_min": f"count_if({delay} BETWEEN 16 AND 30)",
        "arrivals_to_60_min": f"count_if({delay} BETWEEN 31 AND 60)",
        "arrivals_to_120_min": f"count_if({delay} BETWEEN 61 AND 120)",
        "arrivals_after_120_min": f"count_if({delay} > 120)",
    }
    assert tuple(statistics) == STATISTICS
    aggregates = [F.expr(expression).alias(name) for name, expression in statistics.items()]
    rows = flights.groupBy(*KEY).agg(*aggregates).collect()
    return {tuple(map(str, row[: len(KEY)])): tuple(row[len(KEY) :]) for row in rows}


@pytest.fixture(scope="module")
def expected(flights: DataFrame) -> Rows:
    return by_spark(flights)


def test_every_row_is_that_of_sparks_own_aggregation(
    flights: DataFrame, expected: Rows, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="millstream.engines.mapreduce")
    rows, counters = by_mapreduce(flights, tmp_path)
    assert rows == expected
    assert len(rows) > 1000
    assert counters["Route delay statistics"] == {"Flights": 51_955, "Malformed lines": 0}
    assert counters["Map-Reduce Framework"]["Combine input records"] == 51_955
    # Several maps have written rows of the same keys.
    assert counters["Map-Reduce Framework"]["Reduce input records"] > len(rows)
    assert counters["Map-Reduce Framework"]["Reduce input groups"] == len(rows)
    assert "map 100% reduce 100%" in caplog.text
    assert "Malformed lines=0" in caplog.text


def test_a_flight_that_is_changed_shows_in_its_own_group_alone(
    flights: DataFrame, expected: Rows, tmp_path: Path
) -> None:
    chosen = (
        (F.col("flight_date") == "2013-01-01")
        & (F.col("carrier") == "UA")
        & (F.col("flight") == 1545)
        & (F.col("origin") == "EWR")
    )
    assert flights.where(chosen).count() == 1
    changed = flights.withColumn("arr_delay_min", F.col("arr_delay_min") + F.when(chosen, 1).otherwise(0))
    rows, _ = by_mapreduce(changed, tmp_path)
    differing = {key for key in rows.keys() | expected.keys() if rows.get(key) != expected.get(key)}
    assert differing == {("2013-01", "UA", "EWR", "IAH", "5")}


def test_a_malformed_line_fails_the_job_and_leaves_no_output(tmp_path: Path) -> None:
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "flights.txt").write_text(FLIGHT + "2013-01\tUA\n" + FLIGHT)
    with pytest.raises(TransformError, match=r"flights\.txt from byte 0, line 2: it has 2 columns, not 6"):
        run(ROUTE_DELAY_STATISTICS, tmp_path)
    assert not (tmp_path / "gold" / "output").exists()


@pytest.mark.parametrize(
    ("end", "error", "said"),
    [
        ("raise SystemExit('this script cannot go on')", TransformError, "this script cannot go on"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", ClusterError, "code 137"),
    ],
    ids=["it fails", "it is killed"],
)
def test_a_script_that_ends_before_its_input_does(
    end: str, error: type[Exception], said: str, tmp_path: Path
) -> None:
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "flights.txt").write_text(FLIGHT * 50_000)
    script = tmp_path / "ending.py"
    script.write_text(f"import sys\nsys.stdin.readline()\n{end}\n")
    with pytest.raises(error, match=said):
        run(replace(ROUTE_DELAY_STATISTICS, script=script), tmp_path)
    assert not (tmp_path / "gold" / "output").exists()


def test_an_input_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="Input path does not exist"):
        run(ROUTE_DELAY_STATISTICS, tmp_path)


def test_the_environment_of_the_caller_stays_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SECRET", "hidden")
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "flights.txt").write_text(FLIGHT)
    script = tmp_path / "environment.py"
    script.write_text("import os\nfor name in os.environ: print(f'{name}\\t1')\n")
    # Relative paths are the caller's, too.
    monkeypatch.chdir(tmp_path)
    run(StreamingJob(script, 1), Path())
    names = (tmp_path / "gold" / "output" / "part-00000").read_text().split()
    assert "PATH" in names
    assert "AIRFLOW_CONN_SECRET" not in names


class Cancelled(BaseException):
    """As Airflow raises one in a task whose time is over."""


@pytest.mark.timeout(60)
def test_a_caller_that_is_cancelled_does_not_wait_for_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def cancel(record: logging.LogRecord) -> bool:
        raise Cancelled(record.getMessage())

    caplog.set_level(logging.INFO, logger="millstream.engines.mapreduce")
    monkeypatch.setattr(logging.getLogger("millstream.engines.mapreduce"), "filters", [cancel])
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "flights.txt").write_text(FLIGHT)
    script = tmp_path / "endless.py"
    # It ends when Hadoop does; should nobody end that, in two minutes.
    script.write_text(
        "import os, time\nhadoop, end = os.getppid(), time.monotonic() + 120\n"
        "while os.getppid() == hadoop and time.monotonic() < end:\n    time.sleep(0.1)\n"
    )
    with pytest.raises(Cancelled):
        run(replace(ROUTE_DELAY_STATISTICS, script=script), tmp_path)
    assert not (tmp_path / "gold" / "output").exists()
