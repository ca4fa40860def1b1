"""Landing to bronze: every landed row as the source sent it, with where it came from."""

from __future__ import annotations

import json
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.observation import Observation

from millstream.bronze.loads import (
    CHANGES,
    KIND,
    bronze_condition,
    check_landed_columns,
    landed_rows,
    read_as,
)
from millstream.contracts import drift
from millstream.contracts.contract import Contract
from millstream.contracts.updates import INCREMENTS
from millstream.jobs import JobModel
from millstream.lake import history
from millstream.lake.delta import require_writer, table_version
from millstream.lake.names import RunKey, TableName
from millstream.lake.storage import Storage
from millstream.lake.tables import TableRef
from millstream.landing.manifest import Manifest, read_manifest
from millstream.publishing.compatibility import require_compatible


class Args(JobModel):
    """`run` is the run's key; what it landed is in its manifest."""

    lake_root: str
    run: RunKey
    contract: dict[str, Any]


class Result(JobModel):
    """Bronze table, its version, rows read from landing, and what has changed at the source."""

    table: TableName
    version: int
    rows: int
    drift: tuple[drift.Change, ...]


def run(spark: SparkSession, args: Args) -> Result:
    require_writer(spark, args.lake_root)
    contract = Contract.from_dict(args.contract, origin="contract")
    require_compatible(contract, args.lake_root)
    manifest = read_manifest(Storage(args.lake_root), contract.dataset, args.run)
    table = TableRef(zone="bronze", name=contract.dataset)
    changes = check_landed_columns(args.lake_root, contract, manifest)
    counted = Observation()
    rows = (
        landed_rows(spark, contract, args.lake_root, manifest)
        .withColumn("_ingest_run", F.lit(args.run))
        .withColumn("_ingested_at", F.lit(manifest.fetch_began).cast("timestamp"))
        .observe(counted, F.count(F.lit(1)).alias("rows"))
    )
    uri = table.uri(args.lake_root)
    _replace_partitions(rows, uri, contract, manifest, args.run, changes)
    return Result(table=str(table), version=table_version(uri), rows=int(counted.get["rows"]), drift=changes)


def _partition_by(contract: Contract, uri: str) -> str:
    """How bronze is cut: as it is already, since a contract may be loaded otherwise than before."""
    present = history.snapshot(uri)
    if present is not None and present.partition_columns:
        return present.partition_columns[0]
    # A key range that a longer-lived source delivers grows by runs, everything else by partition.
    return "_ingest_run" if contract.load in INCREMENTS else "_partition"


def _replace_partitions(
    rows: DataFrame,
    uri: str,
    contract: Contract,
    manifest: Manifest,
    run: str,
    changes: tuple[drift.Change, ...],
) -> None:
    noted = {
        "kind": KIND,
        "run": run,
        "partitions": manifest.partitions,
        "columns": read_as(contract),
        "drift": CHANGES.dump_python(changes, mode="json"),
    }
    (
        rows.write.format("delta")
        .mode("overwrite")
        .option("replaceWhere", bronze_condition(contract, manifest, run))
        .option("mergeSchema", "true")
        .option("userMetadata", json.dumps(noted))
        .partitionBy(_partition_by(contract, uri))
        .save(uri)
    )
