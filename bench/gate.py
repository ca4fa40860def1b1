"""The quality gate against one hand-written aggregation of the same checks.

    python -m bench.gate [--rows 10000000] [--runs 3]

Both judge the same staged Delta table: the real flights of 2013, repeated with later years as often as comes
nearest to the rows asked for, some of them with an impossible delay, under the real suite
`expectations/flights.json`. By hand is one SQL statement with the same counts, table-level figures and the
key's uniqueness. It is timed under the settings of the stack's Spark server, as the gate is, and under
Spark's own default of adaptive execution; the ratio is to the better of the two. The gate is `run_gate`:
counts, Great Expectations' verdicts, and examples of broken values. Finding the rows to quarantine, which
publishing does, is timed beside it. All agree on every rule. Runs alternate, after one warm-up of each.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from bench import machine
from bench.spark_counts import Measured, measure
from millstream import transforms
from millstream.bronze.typed import typed
from millstream.contracts.contract import Contract
from millstream.lake.staging import read_staged, write_staged
from millstream.quality.gate import publishable, run_gate
from millstream.quality.predicates import REASONS, split
from millstream.quality.suite import Suite
from millstream.quality.suites import suite_in
from millstream.settings import CHECKOUT, Settings
from millstream_demo.reference import reference_file
from millstream_stack.services.spark_server import spark_properties

TITLE = "Gate"
ROWS, RUNS = 10_000_000, 3
Run = Callable[[int, int], dict[str, Any]]
BROKEN_EVERY, BROKEN_DELAY_MIN = 100_000, 99_999.0

# For each rule of the suite: rows that break it, rows over which the share is taken.
ALL, FLOWN = "true", "NOT cancelled"
CHECKS = {
    1: ("month IS NULL", ALL),
    2: ("carrier IS NULL", ALL),
    3: ("flight IS NULL", ALL),
    4: ("origin IS NULL", ALL),
    5: ("dest IS NULL", ALL),
    6: ("NOT _ref_carrier", "_ref_carrier IS NOT NULL"),
    7: ("NOT _ref_origin", "_ref_origin IS NOT NULL"),
    9: ("flight_date NOT BETWEEN '{first_date}' AND '{last_date}'", ALL),
    12: ("dest NOT RLIKE '^[A-Z0-9]{{3}}$'", "dest IS NOT NULL"),
    13: ("origin NOT IN ('EWR', 'JFK', 'LGA')", ALL),
    14: ("carrier NOT RLIKE '^[A-Z0-9]{{2}}$'", ALL),
    15: ("flight NOT BETWEEN 1 AND 9999", ALL),
    16: ("sched_dep_utc IS NULL", ALL),
    17: ("distance_mi NOT BETWEEN 1 AND 12500", "distance_mi IS NOT NULL"),
    18: ("dep_delay_min NOT BETWEEN -120 AND 2880", "dep_delay_min IS NOT NULL"),
    19: ("arr_delay_min NOT BETWEEN -180 AND 2880", "arr_delay_min IS NOT NULL"),
    20: ("air_time_min NOT BETWEEN 5 AND 1200", "air_time_min IS NOT NULL"),
    21: ("sched_arr_time NOT BETWEEN 1 AND 2400", "sched_arr_time IS NOT NULL"),
    22: ("arr_time NOT BETWEEN 1 AND 2400", "arr_time IS NOT NULL"),
    23: (f"{FLOWN} AND dep_utc IS NULL", FLOWN),
    24: (f"{FLOWN} AND arr_delay_min IS NULL", FLOWN),
    25: ("cancelled AND dep_utc IS NOT NULL", "cancelled"),
    26: ("cancelled AND arr_delay_min IS NOT NULL", "cancelled"),
    27: ("cancelled", "cancelled IS NOT NULL"),
    28: ("tailnum IS NULL", ALL),
    29: ("tailnum NOT RLIKE '^N[0-9A-Z]{{1,5}}$'", "tailnum IS NOT NULL"),
    30: ("NOT _ref_tailnum", "_ref_tailnum IS NOT NULL"),
    31: ("NOT _ref_dest", "_ref_dest IS NOT NULL"),
    32: ("_ref_tailnum IS NULL", ALL),
    33: ("_ref_dest IS NULL", ALL),
    34: ("_ref_carrier IS NULL", ALL),
}
KEY_RULE = 0
BY_HAND = """
    SELECT count(*) AS rows, count_if(size(_malformed) > 0) AS malformed,
           max(flight_date) AS last, count(DISTINCT flight_date) AS days, {counts},
           (SELECT coalesce(sum(size), 0) FROM
               (SELECT count(*) AS size FROM staged WHERE NOT _duplicate
                GROUP BY flight_date, carrier, flight, origin HAVING count(*) > 1)) AS repeated
    FROM staged WHERE NOT _duplicate
"""


def checks_by_hand(parameters: Mapping[str, Any]) -> str:
    """SQL over a view `staged`: all that the suite of flights judges by, in one statement."""
    counts = ", ".join(
        f"count_if({broken}) AS broken_{index}, count_if({of}) AS of_{index}"
        for index, (broken, of) in CHECKS.items()
    )
    return BY_HAND.format(counts=counts.format(**parameters))


class Bench:
    """One staged table and the two ways to judge it."""

    def __init__(self, spark: SparkSession, scratch: Path, rows: int) -> None:
        self.spark = spark
        self.root = f"file://{scratch}/lake"
        staged = write_staged(flights(spark, scratch, rows), f"{self.root}/staging/silver.flights/bench")
        self.uri, self.version = staged.uri, staged.version
        self.staged = read_staged(spark, staged.uri, staged.version)
        self.staged.createOrReplaceTempView("staged")
        self.rows = staged.rows
        dates = self.staged.agg(F.min("flight_date"), F.max("flight_date"), F.countDistinct("flight_date"))
        first, last, days = dates.collect()[0]
        parameters = {"first_date": str(first), "last_date": str(last), "days": days}
        self.suite_data = suite_in(CHECKOUT, "flights")
        self.suite = Suite.from_dict(self.suite_data, parameters)
        judged_here = {KEY_RULE, *CHECKS}
        assert judged_here == {rule.index for rule in self.suite.rules if rule.level == "row"}, "other rules"
        self.sql = checks_by_hand(parameters)

    def by_hand(self) -> dict[int, int]:
        counts = self.spark.sql(self.sql).collect()[0].asDict()
        return {KEY_RULE: counts["repeated"], **{index: counts[f"broken_{index}"] for index in CHECKS}}

    def by_hand_by_default(self) -> dict[int, int]:
        with by_default(self.spark):
            return self.by_hand()

    def by_gate(self) -> dict[int, int]:
        self.verdict, _ = run_gate(self.staged, self.suite, table="silver.flights", run="bench")
        assert self.verdict.passed, self.verdict.reason
        return {
            rule.index: rule.broken
            for rule in self.verdict.rules
            if rule.index is not None and rule.level == "row"
        }

    def split(self) -> None:
        judged = split(publishable(self.staged), self.suite, self.verdict.broken_indexes)
        assert judged.where(F.size(REASONS) > 0).count() == self.verdict.quarantined_rows > 0

    def compare(self, runs: int) -> dict[str, list[Measured]]:
        hand, gate = self.by_hand(), self.by_gate()
        assert hand == self.by_hand_by_default()
        self.split()
        assert hand == gate, {
            index: (hand[index], gate[index]) for index in hand if hand[index] != gate[index]
        }
        works = {
            "by hand": self.by_hand,
            "by hand, adaptive": self.by_hand_by_default,
            "gate": self.by_gate,
            "rows to quarantine": self.split,
        }
        runs_of: dict[str, list[Measured]] = {name: [] for name in works}
        for _ in range(runs):
            for name, work in works.items():
                runs_of[name].append(measure(self.spark, work))
        return runs_of


ADAPTIVE = "spark.sql.adaptive.enabled"


@contextmanager
def by_default(spark: SparkSession) -> Iterator[None]:
    """Queries are planned with Spark's default, which the stack's server turns off."""
    stack = spark.conf.get(ADAPTIVE)
    assert stack == "false", stack
    spark.conf.set(ADAPTIVE, "true")
    try:
        yield
    finally:
        spark.conf.set(ADAPTIVE, stack)


def session(scratch: Path) -> SparkSession:
    settings = Settings()
    jars = sorted(str(jar) for jar in (settings.home / "jars").glob("*.jar"))
    builder = SparkSession.builder.master("local[2]")
    # Queries are planned as the stack's own server plans them.
    for name, value in spark_properties(settings).items():
        if name.startswith(("spark.sql.", "spark.databricks.", "spark.delta.")):
            builder = builder.config(name, value)
    return (
        builder.config("spark.driver.memory", "4g")
        .config("spark.jars", ",".join(jars))
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.sql.warehouse.dir", str(scratch / "warehouse"))
        .config("spark.local.dir", str(scratch / "spark"))
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .getOrCreate()
    )


def flights(spark: SparkSession, scratch: Path, rows: int) -> DataFrame:
    """Rows as the `transform` job stages them; copy number n of a flight is n years later."""
    with zipfile.ZipFile(reference_file("flights.csv.zip")) as archive:
        archive.extract("flights.csv", scratch)
    contract = Contract.load_file(CHECKOUT / "dags" / "datasets" / "flights.yaml")
    source = spark.read.option("header", True).csv(f"file://{scratch}/flights.csv")
    source = source.withColumns(
        {
            "_source_file": F.lit("flights.csv"),
            "_source_row": F.monotonically_increasing_id(),
            "_record": F.lit(None).cast("string"),
            "_record_error": F.lit(None).cast("string"),
            "_added": F.lit(None).cast("string"),
        }
    )
    table = transforms.table_of(contract.dataset, contract)
    once = table.rows(typed(source, contract)).cache()
    copies = max(1, round(rows / once.count()))
    later = spark.range(copies, numPartitions=2).select(F.col("id").cast("int").alias("_years"))
    staged = once.crossJoin(later)
    shifted = {
        name: (F.col(name) + F.make_ym_interval("_years")).cast(staged.schema[name].dataType)
        for name in ("flight_date", "sched_dep_local", "sched_dep_utc", "dep_utc")
    }
    impossible = F.xxhash64("_source_row_id", "_years") % BROKEN_EVERY == 0
    staged = staged.withColumns(
        {
            **shifted,
            "dep_delay_min": F.when(impossible, F.lit(BROKEN_DELAY_MIN)).otherwise(F.col("dep_delay_min")),
        }
    ).withColumn("month", F.date_format("flight_date", "yyyy-MM"))
    for flag, (own, place, other) in table.references.items():
        path = f"file://{reference_file(place.removeprefix('silver.') + '.csv')}"
        known = spark.read.option("header", True).csv(path).select(F.col(other).alias("_known")).distinct()
        staged = (
            staged.join(F.broadcast(known), F.col(own) == F.col("_known"), "left")
            .withColumn(flag, F.when(F.col(own).isNotNull(), F.col("_known").isNotNull()))
            .drop("_known")
        )
    return staged.drop("_years")


def compared(kind: type[Bench], rows: int, runs: int) -> dict[str, Any]:
    """Build the table, time all works of `kind`, and return figures for `table_of`."""
    home = Settings().home / "tmp"
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as scratch:
        spark = session(Path(scratch))
        try:
            bench = kind(spark, Path(scratch), rows)
            runs_of = bench.compare(runs)
        finally:
            spark.stop()
    return {
        "machine": machine.describe(),
        "rows": bench.rows,
        "rules": len(bench.suite.rules),
        "runs": {name: [asdict(measured) for measured in each] for name, each in runs_of.items()},
        "medians": {
            name: statistics.median(measured.seconds for measured in each) for name, each in runs_of.items()
        },
    }


def run(rows: int = ROWS, runs: int = RUNS) -> dict[str, Any]:
    """Figures for `markdown`."""
    result = compared(Bench, rows, runs)
    medians = result["medians"]
    hand = min(medians["by hand"], medians["by hand, adaptive"])
    return {
        **result,
        "ratio": round(medians["gate"] / hand, 2),
        "with_split": round((medians["gate"] + medians["rows to quarantine"]) / hand, 2),
    }


def table_of(result: dict[str, Any]) -> list[str]:
    """The runs as lines of a table."""
    lines = [
        f"{result['machine']}; Spark local[2], 4 GiB; {result['rows']:,} rows, {result['rules']} rules.",
        "",
        "| | runs, s | median, s | Spark jobs | scans of the table |",
        "|---|---|---|---|---|",
    ]
    for name, each in result["runs"].items():
        seconds = " ".join(f"{measured['seconds']:.2f}" for measured in each)
        counts = [
            " ".join(map(str, sorted({measured[kind] for measured in each}))) for kind in ("jobs", "scans")
        ]
        lines.append(f"| {name} | {seconds} | {result['medians'][name]:.2f} | {counts[0]} | {counts[1]} |")
    return lines


def markdown(result: dict[str, Any]) -> str:
    """The result as a table for bench/README.md."""
    ratios = (
        f"Gate against the faster way by hand, ratio of the medians: {result['ratio']:.2f}; with finding the "
        f"rows to quarantine {result['with_split']:.2f}."
    )
    return "\n".join([*table_of(result), "", ratios])


def print_as_asked(
    doc: str | None, run: Run, markdown: Callable[[dict[str, Any]], str], rows: int = ROWS, runs: int = RUNS
) -> None:
    """Run with the command line's rows and runs, and print the result."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=rows)
    parser.add_argument("--runs", type=int, default=runs)
    asked = parser.parse_args()
    print(markdown(run(asked.rows, asked.runs)))


if __name__ == "__main__":
    print_as_asked(__doc__, run, markdown)
