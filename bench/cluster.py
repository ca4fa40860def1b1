"""What the cluster costs: HDFS, jobs in YARN's cluster mode, and MapReduce, each beside its plain way.

    tests/support/loopback_only.sh stack/run python -m bench.cluster [--runs 3]

Real servers of Hadoop on 127.0.0.1: a NameNode, a DataNode, a ResourceManager, a NodeManager, and MapReduce's
history server, in a network that has a loopback only. Landing: a file of 100 MB into the lake, beside the
bare client's copy of the same bytes. History: reading the accounts of a table of a thousand commits. Submit:
the job that loads two rows, by the engine of a connection, beside spark-submit by hand with the same
settings. MapReduce: the statistics of a year of flights on YARN, by Hadoop's local runner, and by Spark.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from hdfs_native import Client, WriteOptions

from bench import machine
from bench.gate import session
from millstream.engines.mapreduce import ROUTE_DELAY_STATISTICS, LocalRunner
from millstream.engines.mapreduce_yarn import HistoryServer, YarnRunner
from millstream.engines.submission import Submission, SubmittedJob
from millstream.engines.yarn import ResourceManager
from millstream.lake import history
from millstream.lake.storage import Storage
from millstream.lake.tables import TableRef
from millstream.settings import CHECKOUT, Settings
from millstream_airflow import catalog
from millstream_airflow.engines import Attempt, engine_for
from tests.support.chain import contract_of, month_zip, small_suite
from tests.support.flights_rows import AA1141, POSITIVE_DISTANCE, UA1545
from tests.support.hadoop import CONF, Hdfs, Yarn, only_loopback
from tests.support.route_statistics import by_spark, silver_flights
from tests.support.submitted_chain import SubmittedChain

TITLE = "The cluster"
RUNS = 3
FILE_BYTES, BLOCK_BYTES = 100_000_000, 1 << 20
COMMITS, WRITERS = 1000, 16
TABLE = TableRef.parse("silver.long")
CONN_ID = "bench_yarn"
FLIGHTS = 336_776
Figures = dict[str, list[float]]


def _timed(figures: Figures, name: str, work: Callable[[], object]) -> None:
    began = time.perf_counter()
    work()
    figures.setdefault(name, []).append(round(time.perf_counter() - began, 2))
    print(f"{name}: {figures[name][-1]} s", file=sys.stderr, flush=True)


@contextmanager
def servers(folder: Path) -> Iterator[tuple[Hdfs, Yarn]]:
    """HDFS and YARN, and what leads to them in the environment."""
    if not only_loopback():
        raise SystemExit("MapReduce listens on all addresses: run tests/support/loopback_only.sh first")
    (folder / "hdfs").mkdir()
    (folder / "yarn").mkdir()
    hdfs = Hdfs(folder / "hdfs")
    yarn = Yarn(folder / "yarn", hdfs)
    try:
        hdfs.start()
        yarn.start()
        yarn.start_history()
        extra = {
            "deploy-mode": "cluster",
            "spark-binary": "spark-submit",
            "yarn_resourcemanager_webapp_address": yarn.web,
        }
        connection = json.dumps({"conn_type": "spark", "host": "yarn", "extra": extra})
        os.environ |= yarn.environment
        os.environ |= {"PYSPARK_PYTHON": sys.executable, f"AIRFLOW_CONN_{CONN_ID.upper()}": connection}
        yield hdfs, yarn
    finally:
        yarn.stop()
        hdfs.stop()


def landing(lake: str, runs: int) -> Figures:
    """Seconds of a file of 100 MB into HDFS."""
    figures: Figures = {}
    block = os.urandom(BLOCK_BYTES)
    blocks = FILE_BYTES // BLOCK_BYTES
    root, _, folder = lake.partition("/lakes/")
    client, storage = Client(root), Storage(lake)

    def bare(name: str) -> None:
        stream = client.create(f"/lakes/{folder}/{name}", WriteOptions(overwrite=True))
        for _ in range(blocks):
            stream.write(block)
        stream.close()

    def ours(name: str) -> None:
        with storage.new_file("landing") as new:
            for _ in range(blocks):
                new.write(block)
            new.publish(f"landing/{name}")

    for number in range(runs + 1):
        into = figures if number else {}
        _timed(into, "landing, bare client", lambda number=number: bare(f"bare{number}"))  # type: ignore[misc]
        _timed(into, "landing", lambda number=number: ours(f"ours{number}"))  # type: ignore[misc]
    return figures


def long_history(lake: str, scratch: Path, runs: int) -> Figures:
    """Seconds of reading the history of a table of a thousand commits."""
    local = TABLE.uri(f"file://{scratch}/long")
    for number in range(COMMITS):
        write_deltalake(local, pa.table({"number": [number]}), mode="append")
    base = Path(local.removeprefix("file://"))
    files = [path for path in base.rglob("*") if path.is_file()]
    storage = Storage(lake)
    place = TABLE.uri(lake).removeprefix(f"{lake}/")
    with ThreadPoolExecutor(WRITERS) as pool:
        list(
            pool.map(
                lambda path: storage.write(f"{place}/{path.relative_to(base)}", path.read_bytes()), files
            )
        )
    assert DeltaTable(TABLE.uri(lake)).version() == COMMITS - 1
    figures: Figures = {}
    for _ in range(runs):
        _timed(figures, "history of 1,000 commits", lambda: history.read(TABLE, lake))
    assert len(history.read(TABLE, lake).commits) == COMMITS
    return figures


def submit(lake: str, scratch: Path, runs: int) -> Figures:
    """Seconds of a job in cluster mode, to its result."""
    contract, suite = contract_of("flights"), small_suite(POSITIVE_DISTANCE)
    chain = SubmittedChain(scratch, contract, suite, lake, CONN_ID)
    chain.put("flights/flights_2013-01.csv.zip", month_zip(UA1545, AA1141))
    figures: Figures = {}

    def arguments(run: str) -> dict[str, Any]:
        chain.land(run, ["2013-01"])
        return {"lake_root": lake, "run": run, "contract": contract.model_dump(mode="json")}

    def ours(run: str, given: dict[str, Any]) -> None:
        engine_for(CONN_ID).run("load_bronze", given, Attempt("bench", run, "load_bronze", -1, 1), {})

    def by_hand(run: str, given: dict[str, Any]) -> None:
        job = SubmittedJob(Storage(lake), run, Submission(job="load_bronze", arguments=given))
        job.write()
        conf = catalog.yarn_conf() | {"spark.yarn.submit.waitAppCompletion": "true"}
        settings = [word for name, value in conf.items() for word in ("--conf", f"{name}={value}")]
        script = str(CHECKOUT / "spark_jobs" / "run_job.py")
        handed = ("--lake-root", lake, "--submission", job.path, "--outcome", job.outcome_path)
        command = ["spark-submit", "--master", "yarn", "--deploy-mode", "cluster", "--name", "load_bronze"]
        subprocess.run(
            [*command, *settings, "--py-files", str(catalog.code()), script, *handed],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        outcome = job.take_outcome()
        assert outcome is not None
        outcome.result_or_raise()

    for number in range(runs + 1):
        into = figures if number else {}
        for name, way in (
            ("job in cluster mode, spark-submit by hand", by_hand),
            ("job in cluster mode", ours),
        ):
            run = f"{way.__name__}{number}"
            given = arguments(run)
            _timed(into, name, lambda way=way, run=run, given=given: way(run, given))  # type: ignore[misc]
    return figures


def mapreduce(lake: str, yarn: Yarn, scratch: Path, runs: int) -> Figures:
    """Seconds of the statistics of a year's routes."""
    spark = session(scratch)
    flights = silver_flights(spark, scratch, tuple(range(1, 13)))
    assert flights.count() <= FLIGHTS
    texts = flights.selectExpr(
        "concat_ws('\\t', month, carrier, origin, dest, hour(sched_dep_local), "
        "coalesce(CAST(CAST(arr_delay_min AS BIGINT) AS STRING), '')) AS value"
    )
    storage = Storage(lake)
    (scratch / "input").mkdir()
    lines = [row.value for row in texts.collect()]
    for number in range(2):
        content = "\n".join([*lines[number::2], ""]).encode()
        storage.write(f"routes/input/part-{number}", content)
        (scratch / "input" / f"part-{number}").write_bytes(content)
    jars = Settings().root / ".millstream" / "jars"
    manager, records = ResourceManager(yarn.web, "root"), HistoryServer(yarn.history)
    figures: Figures = {}

    def on_yarn(number: int) -> None:
        runner = YarnRunner(manager, records, f"bench-{number}", jars=jars, conf=CONF)
        target = f"{lake}/routes/output{number}"
        runner.follow(
            ROUTE_DELAY_STATISTICS, runner.submit(ROUTE_DELAY_STATISTICS, f"{lake}/routes/input", target)
        )

    def locally(number: int) -> None:
        runner = LocalRunner(jars=jars, scratch=scratch)
        runner.run(ROUTE_DELAY_STATISTICS, scratch / "input", scratch / f"output{number}")

    def in_spark(number: int) -> None:
        schema = "month string, carrier string, origin string, dest string, at int, arr_delay_min int"
        rows = spark.read.csv(str(scratch / "input"), sep="\t", schema=schema)
        timed = rows.selectExpr("*", "make_timestamp(2013, 1, 1, at, 0, 0) AS sched_dep_local")
        by_spark(timed).write.csv(str(scratch / f"by_spark{number}"), sep="\t")

    for number in range(runs):
        _timed(figures, "MapReduce on YARN", lambda number=number: on_yarn(number))  # type: ignore[misc]
        _timed(figures, "MapReduce, local runner", lambda number=number: locally(number))  # type: ignore[misc]
        _timed(figures, "the same by Spark", lambda number=number: in_spark(number))  # type: ignore[misc]
    spark.stop()
    return figures


def run(runs: int = RUNS) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        folder = Path(scratch)
        with servers(folder) as (hdfs, yarn):
            lake = f"{hdfs.uri}/lakes/bench"
            os.environ["MILLSTREAM_LAKE_ROOT"] = lake
            work = folder / "work"
            work.mkdir()
            figures = landing(lake, runs) | long_history(lake, work, runs)
            figures |= submit(lake, work, runs) | mapreduce(lake, yarn, work, runs)
    return {"machine": machine.describe(), "figures": figures}


def ratios(medians: dict[str, float]) -> list[str]:
    pairs = (
        ("landing, bare client", "landing", "bytes/s of landing to the bare client's (goal 0.6)"),
        (
            "job in cluster mode", "job in cluster mode, spark-submit by hand",
            "seconds of a job in cluster mode to spark-submit's by hand (goal 1.1)",
        ),
        ("MapReduce on YARN", "MapReduce, local runner", "MapReduce on YARN to the local runner"),
        ("MapReduce on YARN", "the same by Spark", "MapReduce on YARN to Spark"),
    )  # fmt: skip
    return [f"- {what}: {medians[one] / medians[other]:.2f}" for one, other, what in pairs]


def markdown(result: dict[str, Any]) -> str:
    figures: Figures = result["figures"]
    medians = {name: statistics.median(values) for name, values in figures.items()}
    rows = [
        f"| {name} | {' '.join(f'{value:.1f}' for value in values)} | {medians[name]:.1f} |"
        for name, values in figures.items()
    ]
    head = ["| | runs, s | median, s |", "|---|---|---:|"]
    return "\n".join([f"{result['machine']}.", "", *head, *rows, "", *ratios(medians)])


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.cluster", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=RUNS)
    print(f"# {TITLE}\n\n{markdown(run(parser.parse_args().runs))}")


if __name__ == "__main__":
    main()
