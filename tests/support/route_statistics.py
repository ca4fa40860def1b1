"""Real flights and their statistics, and the Spark tasks of `build_route_statistics` without Airflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from millstream import jobs
from millstream.bronze.typed import typed
from millstream.lake.tables import TableRef
from millstream.transforms import route_delay_statistics as statistics_table
from millstream.transforms import table_of
from millstream_demo import reference
from tests.support.chain import contract_of, suite_of

TABLE = TableRef(zone="gold", name="route_delay_statistics")
FLIGHTS = TableRef(zone="silver", name="flights")


def silver_flights(spark: SparkSession, folder: Path, months: tuple[int, ...]) -> DataFrame:
    """The flights of some months, as published but for nothing that the gate keeps back."""
    header, *lines = reference.flight_lines()
    wanted = {str(month).encode() for month in months}
    source = folder / "flights.csv"
    source.write_bytes(header + b"".join(line for line in lines if line.split(b",")[1] in wanted))
    raw = spark.read.csv(str(source), header=True).withColumns(
        {
            **{name: F.lit(None).cast("string") for name in ("_record_error", "_record", "_added")},
            **{"_source_file": F.lit(source.name), "_source_row": F.lit("1")},
        }
    )
    table = table_of("flights")
    return table.rows(typed(raw, contract_of("flights"))).select(*table.schema.names, "_source_row_id")


def by_spark(flights: DataFrame) -> DataFrame:
    """The table as an aggregation of Spark's own: what an arrival counts for is written out once more."""
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
    aggregates = [F.expr(expression).alias(name) for name, expression in statistics.items()]
    with_hour = flights.withColumn("hour", F.hour("sched_dep_local"))
    return with_hour.groupBy(*statistics_table.KEY).agg(*aggregates)


class Steps:
    """The DAG's tasks over one lake."""

    def __init__(self, spark: SparkSession, root: str) -> None:
        self.spark, self.root = spark, root

    def job(self, name: str, run: str, **arguments: Any) -> dict[str, Any]:
        return jobs.execute(
            self.spark, name, {"lake_root": self.root, "run": run, "table": str(TABLE), **arguments}
        )

    def export(self, run: str, version: int) -> dict[str, Any]:
        return self.job("export_text", run, inputs={str(FLIGHTS): version})

    def stage(self, run: str, exported: dict[str, Any]) -> dict[str, Any]:
        return self.job("stage_text", run, inputs=exported["inputs"], lines=exported["rows"])

    def publish(self, run: str, staged: dict[str, Any], sequence: int) -> dict[str, Any]:
        judged = {name: staged[name] for name in ("staged_uri", "staged_version")}
        suite = suite_of(TABLE.name)
        self.job("quality_gate", run, **judged, suite=suite, inputs=staged["inputs"])
        return self.job(
            "publish",
            run,
            **judged,
            suite=suite,
            rows_read=staged["rows"],
            inputs=staged["inputs"],
            load="full",
            partition_column="month",
            sequence=sequence,
            code_version="test",
        )
