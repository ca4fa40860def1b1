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
    """`run` is the run's key; what it landed is in its manifest. With `rebuild` it is all that bronze has
    afterwards, cut as its contract says now."""

    lake_root: str
    run: RunKey
    contract: dict[str, Any]
    rebuild: bool = False


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
    _write(rows, uri, contract, manifest, args, changes)
    return Result(table=str(table), version=table_version(uri), rows=int(counted.get["rows"]), drift=changes)


def _partition_by(contract: Contract, uri: str, rebuild: bool) -> str:
    """How bronze is cut: as it is already, since a contract may be loaded otherwise than before."""
    present = None if rebuild else history.snapshot(uri)
    if present is not None and present.partition_columns:
        return present.partition_columns[0]
    # A key range that a longer-lived source delivers grows by runs, everything else by partition.
    return "_ingest_run" if contract.load in INCREMENTS else "_partition"


def _write(
    rows: DataFrame,
    uri: str,
    contract: Contract,
    manifest: Manifest,
    args: Args,
    changes: tuple[drift.Change, ...],
) -> None:
    """Replace what bronze has of the run, or of its partitions; all of it, where it is made anew."""
    noted = {
        "kind": KIND,
        "run": args.run,
        "partitions": manifest.partitions,
        "columns": read_as(contract),
        "drift": CHANGES.dump_python(changes, mode="json"),
    }
    writer = rows.write.format("delta").mode("overwrite").option("userMetadata", json.dumps(noted))
    if args.rebuild:
        writer = writer.option("overwriteSchema", "true")
    else:
        condition = bronze_condition(contract, manifest, args.run)
        writer = writer.option("replaceWhere", condition).option("mergeSchema", "true")
    writer.partitionBy(_partition_by(contract, uri, args.rebuild)).save(uri)
