"""One month of a mart made anew against the whole table: SELECT, gate and publish.

    python -m bench.marts [--rows 10000000] [--runs 3]

The mart is made by month of twelve months of the real flights, each flight as many times as comes nearest to
the rows asked for. Both ways run the jobs of its DAG over a table that is there, and write it, because the
suite has another version each time. Runs alternate, after one warm-up of each.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from bench import machine
from bench.gate import ROWS, RUNS, flights, print_as_asked, session
from bench.spark_counts import Measured, measure
from millstream.jobs import build_mart, publish, quality_gate
from millstream.marts import LEAST_ROWS, Head, Mart
from millstream.marts.partitions import require_by_month
from millstream.quality.suites import suite_of_mart
from millstream.settings import Settings

TITLE = "Marts by month"
MONTH = "2013-06"
INPUT = {"silver.flights": 0}
SELECT = """
SELECT month, origin, dest, carrier, hour(sched_dep_local) AS hour, count(*) AS flights,
  count_if(cancelled) AS cancelled, round(avg(dep_delay_min), 2) AS dep_delay_min,
  round(avg(arr_delay_min), 2) AS arr_delay_min,
  rank() OVER (PARTITION BY month, origin ORDER BY count(*) DESC) AS place
FROM silver.flights
GROUP BY ALL
"""


class Rebuilt:
    """A lake with flights and the mart of them."""

    def __init__(self, spark: SparkSession, scratch: Path, rows: int) -> None:
        self.spark, self.number = spark, 0
        self.root = f"file://{scratch}/lake"
        year = flights(spark, scratch, 1)
        copies = max(1, round(rows / year.count()))
        many = year.crossJoin(spark.range(copies, numPartitions=2).withColumnRenamed("id", "_copy"))
        many.write.format("delta").partitionBy("month").save(f"{self.root}/silver/flights")
        self.rows = spark.read.format("delta").load(f"{self.root}/silver/flights").count()
        head = Head(partition="month", key=("month", "origin", "dest", "carrier", "hour"))
        self.mart = Mart(name="by_route", head=head, sql=SELECT)
        require_by_month(self.mart, {"silver.flights": "month"})

    def make(self, months: tuple[str, ...] = ()) -> None:
        self.number += 1
        given = {"lake_root": self.root, "run": f"r{self.number}"}
        mart = self.mart.model_dump(mode="json")
        built = build_mart.run(
            self.spark, build_mart.Args(**given, mart=mart, inputs=INPUT, partitions=months)
        )
        judged: dict[str, Any] = {
            **given,
            "table": str(self.mart.table),
            "staged_uri": built.staged_uri,
            "staged_version": built.staged_version,
            # By the same suite the same rows would not be written once more.
            "suite": suite_of_mart(self.mart, {"notes": f"run {self.number}"}),
            "partitions": months,
            "partition_column": "month",
        }
        least = {LEAST_ROWS: 0} if months else {}
        quality_gate.run(self.spark, quality_gate.Args(**judged, parameters=least))
        request: dict[str, Any] = {
            "sequence": self.number,
            "rows_read": built.rows,
            "load": "partition" if months else "full",
            "rest": INPUT if months else None,
            "inputs": INPUT,
            "code_version": self.mart.version,
            "mart": mart,
        }
        assert publish.run(self.spark, publish.Args(**judged, **request)).changed

    def compare(self, runs: int) -> dict[str, list[Measured]]:
        works: dict[str, Callable[[], None]] = {
            "the whole table": self.make,
            "one month of twelve": lambda: self.make((MONTH,)),
        }
        runs_of: dict[str, list[Measured]] = {name: [] for name in works}
        for number in range(runs + 1):
            for name, work in works.items():
                measured = measure(self.spark, work)
                if number:
                    runs_of[name].append(measured)
        return runs_of


def run(rows: int = ROWS, runs: int = RUNS) -> dict[str, Any]:
    """Figures for `markdown`."""
    home = Settings().home / "tmp"
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as scratch:
        spark = session(Path(scratch))
        try:
            bench = Rebuilt(spark, Path(scratch), rows)
            runs_of = bench.compare(runs)
        finally:
            spark.stop()
    medians = {name: statistics.median(one.seconds for one in each) for name, each in runs_of.items()}
    return {
        "machine": machine.describe(),
        "rows": bench.rows,
        "runs": {name: [asdict(measured) for measured in each] for name, each in runs_of.items()},
        "medians": medians,
        "ratio": round(medians["one month of twelve"] / medians["the whole table"], 2),
    }


def markdown(result: dict[str, Any]) -> str:
    """The result as a table for bench/results."""
    lines = [
        f"{result['machine']}; Spark local[2], 4 GiB; {result['rows']:,} rows in twelve months.",
        "",
        "| | runs, s | median, s | Spark jobs |",
        "|---|---|---|---|",
    ]
    for name, each in result["runs"].items():
        seconds = " ".join(f"{measured['seconds']:.2f}" for measured in each)
        jobs = " ".join(map(str, sorted({measured["jobs"] for measured in each})))
        lines.append(f"| {name} | {seconds} | {result['medians'][name]:.2f} | {jobs} |")
    return "\n".join([*lines, "", f"One month against the whole table: {result['ratio']:.2f}."])


if __name__ == "__main__":
    print_as_asked(__doc__, run, markdown)
