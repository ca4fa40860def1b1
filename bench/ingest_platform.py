"""The platform's side of `bench.ingest`: its jobs, as the DAGs call them.

python -m bench.ingest_platform DROP_FOLDER OUTPUT_FOLDER
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from bench.decode import from_files, land
from bench.gate import session
from bench.ingest import REFERENCES
from bench.sides import Steps, files_below
from millstream import jobs
from millstream.contracts.contract import Contract
from millstream.engines.mapreduce import LocalRunner, streaming_job
from millstream.features import feature_table
from millstream.lake import history
from millstream.lake.tables import TableRef, text_folders
from millstream.quality.suites import suite_in
from millstream.settings import CHECKOUT
from millstream.transforms import table_of

RUN = "bench"
Timed = Callable[[str, Callable[[], Any]], Any]


def reference(name: str) -> Contract:
    """The contract of one of the tables that flights are looked up in, from a CSV file."""
    source = {"format": "csv", "path": f"{name}.csv"}
    return from_files(name, source, load="full", null_values=["", "NA"])


def flights_contract() -> Contract:
    return from_files("flights", {"format": "csv.zip", "path": "flights_{partition}.csv.zip"})


class Platform:
    """A lake and the jobs that fill it."""

    def __init__(self, spark: SparkSession, drop: Path, out: Path) -> None:
        self.spark, self.drop, self.root = spark, drop, f"file://{out}/lake"

    def job(self, name: str, **arguments: Any) -> dict[str, Any]:
        return jobs.execute(self.spark, name, {"lake_root": self.root, "run": RUN, **arguments})

    def ingest(self, contract: Contract, timed: Timed) -> None:
        known = contract.model_dump(mode="json")
        manifest = timed("land", lambda: land(contract, self.drop, self.root))
        timed("load_bronze", lambda: self.job("load_bronze", contract=known))
        staged = timed("transform", lambda: self.job("transform", contract=known, mode="elt"))
        partition = contract.partition
        self.publish(
            f"silver.{contract.dataset}",
            staged,
            timed,
            list(manifest.partitions),
            load=contract.load,
            partition_column=partition.column if partition else None,
            contract=known,
            contract_version=contract.version,
            drift=staged["drift"],
            fetch_began=staged["fetch_began"],
        )

    def build_features(self, name: str, label: str, timed: Timed) -> None:
        """`label` stands before the names of the steps."""
        declared = feature_table(name)
        versions = {
            table: history.read(TableRef.parse(table), self.root).published_version
            for table in declared.inputs
        }
        made = {"table": str(declared.table), "inputs": versions}

        def labelled(step: str, work: Callable[[], Any]) -> Any:
            return timed(f"{label} {step}", work)

        if declared.mapreduce is None:
            staged = labelled("build", lambda: self.job("build_features", **made))
        else:
            staged = self.mapreduce(declared.mapreduce.job, made, labelled)
        column = declared.partition_column
        self.publish(str(declared.table), staged, labelled, [], load="full", partition_column=column)

    def mapreduce(self, job: str, made: dict[str, Any], timed: Timed) -> Any:
        exported = timed("export", lambda: self.job("export_text", **made))
        folders, lake = text_folders(job, RUN), Path(self.root.removeprefix("file://"))
        scratch = (lake / folders.output).parent
        runner = LocalRunner(jars=CHECKOUT / ".millstream" / "jars", scratch=scratch)
        paths = lake / folders.input, lake / folders.output
        timed("mapreduce", lambda: runner.run(streaming_job(job), *paths))
        return timed("build", lambda: self.job("stage_text", **made, lines=exported["rows"]))

    def publish(
        self, table: str, staged: dict[str, Any], timed: Timed, partitions: list[str], **more: Any
    ) -> None:
        judged = {
            "table": table,
            "staged_uri": staged["staged_uri"],
            "staged_version": staged["staged_version"],
            "suite": suite_in(CHECKOUT, table.partition(".")[2]),
            "partitions": partitions,
            "inputs": staged["inputs"],
        }
        contract = {"contract": more["contract"]} if "contract" in more else {}
        timed("quality_gate", lambda: self.job("quality_gate", **judged, **contract))
        arguments = {
            **judged,
            **more,
            "sequence": int(time.time() * 1000),
            "rows_read": staged["rows"],
            "code_version": "bench",
        }
        timed("publish", lambda: self.job("publish", **arguments))


def made(silver: DataFrame, features: DataFrame) -> dict[str, int]:
    """Figures of both tables that are equal only where the rows are; means may differ in their last digit."""
    number = F.substring_index("_source_row_id", "#", -1).cast("bigint")
    half = F.xxhash64(*table_of("flights").schema.fieldNames()).bitwiseAND(F.lit(0xFFFFFFFF))
    own = silver.agg(
        F.count(F.lit(1)).alias("rows"), F.sum(half).alias("flights"), F.sum(number).alias("numbers")
    )
    counted = ("arrived_late", "origin_departed_2h", "origin_overdue", "aircraft_waiting", "plane_seats")
    more = features.agg(F.count(F.lit(1)).alias("features"), *(F.sum(name).alias(name) for name in counted))
    return {**own.collect()[0].asDict(), **more.collect()[0].asDict()}


def main(drop: Path, out: Path) -> dict[str, Any]:
    spark = session(out)
    platform, steps, others = Platform(spark, drop, out), Steps(), Steps()
    began = time.perf_counter()
    for name in REFERENCES:
        platform.ingest(reference(name), others.timed)
    references = time.perf_counter() - began
    platform.ingest(flights_contract(), steps.timed)
    platform.build_features("route_delay_statistics", "routes", steps.timed)
    platform.build_features("arrival_delay_features", "features", steps.timed)
    files, size = files_below(out / "lake")
    tables = (
        spark.read.format("delta").load(f"{platform.root}/{name}")
        for name in ("silver/flights", "gold/arrival_delay_features")
    )
    return {
        "steps": steps.seconds,
        "references": references,
        "files": files,
        "bytes": size,
        "made": made(*tables),
    }


if __name__ == "__main__":
    print(json.dumps(main(*(Path(argument).resolve() for argument in sys.argv[1:]))))
