"""Landing to bronze: every landed row as the source sent it, with where it came from."""

from __future__ import annotations

from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.observation import Observation

from millstream.contract import Contract
from millstream.decode import check_columns, read_landing
from millstream.errors import SourceDataError
from millstream.jobs import JobModel
from millstream.lake.staging import WHOLE
from millstream.lake.storage import Storage
from millstream.lake.tables import TableRef
from millstream.lake.writing import literal, require_writer, table_exists, table_version
from millstream.landing import Manifest, read_manifest


class Args(JobModel):
    """`run` is the run's key; what it landed is in its manifest."""

    lake_root: str
    run: str
    contract: dict[str, Any]


class Result(JobModel):
    """Bronze table, its version, and rows read from landing."""

    table: str
    version: int
    rows: int
    added_columns: list[str]


def run(spark: SparkSession, args: Args) -> Result:
    require_writer(spark, args.lake_root)
    contract = Contract.from_dict(args.contract, origin="contract")
    manifest = read_manifest(Storage(args.lake_root), contract.dataset, args.run)
    table = TableRef(zone="bronze", name=contract.dataset)
    added = check_landed_columns(args.lake_root, contract, manifest)
    counted = Observation()
    rows = (
        landed_rows(spark, contract, args.lake_root, manifest)
        .withColumn("_ingest_run", F.lit(args.run))
        .withColumn("_ingested_at", F.lit(manifest.created_at).cast("timestamp"))
        .observe(counted, F.count(F.lit(1)).alias("rows"))
    )
    _replace_partitions(rows, table.uri(args.lake_root), contract, manifest, args.run)
    version = table_version(table.uri(args.lake_root))
    return Result(table=str(table), version=version, rows=int(counted.get["rows"]), added_columns=added)


def check_landed_columns(lake_root: str, contract: Contract, manifest: Manifest) -> list[str]:
    """Columns the source has added. Raises SchemaDriftError when it removed one (SQL: the reader checks)."""
    if contract.source.kind == "sql":
        return []
    storage = Storage(lake_root)
    added: set[str] = set()
    for path in manifest.paths:
        with storage.reading(path) as stream:
            added.update(check_columns(contract, stream, path))
    return sorted(added)


def landed_rows(spark: SparkSession, contract: Contract, lake_root: str, manifest: Manifest) -> DataFrame:
    """The landed rows of one run, and `_partition`: the month a file was delivered for, or `all`."""
    rows = read_landing(spark, contract, lake_root, manifest.paths)
    month = F.regexp_extract("_source_file", r"/partition=([^/]+)/", 1)
    return rows.withColumn("_partition", F.when(month != "", month).otherwise(F.lit(WHOLE)))


def received_rows(spark: SparkSession, contract: Contract, lake_root: str, manifest: Manifest) -> DataFrame:
    """The rows of a manifest's files once more: from landing, or from bronze when retention has removed them.

    Raises SourceDataError when neither has them.
    """
    storage = Storage(lake_root)
    if all(storage.exists(path) for path in manifest.paths):
        check_landed_columns(lake_root, contract, manifest)
        return landed_rows(spark, contract, lake_root, manifest)
    bronze = TableRef(zone="bronze", name=contract.dataset).uri(lake_root)
    if not table_exists(bronze):
        raise SourceDataError(
            f"{contract.dataset}: what run {manifest.run} landed has been removed, and there is no bronze: "
            "run the ingest again"
        )
    rows = spark.read.format("delta").load(bronze).where(F.col("_source_file").isin(manifest.paths))
    # The same bytes that two runs have landed are one object, and rows of both.
    return rows.dropDuplicates(["_source_file", "_source_row"])


def bronze_condition(contract: Contract, manifest: Manifest, run: str) -> str:
    """SQL that holds for exactly the bronze rows of this run."""
    if contract.load == "watermark":
        return f"_ingest_run = {literal(run)}"
    if contract.load == "partition":
        return f"_partition IN ({', '.join(literal(name) for name in sorted(manifest.partitions))})"
    return f"_partition = '{WHOLE}'"


def _replace_partitions(rows: DataFrame, uri: str, contract: Contract, manifest: Manifest, run: str) -> None:
    # A key range that a longer-lived source delivers grows by runs, everything else by partition.
    partition_by = "_ingest_run" if contract.load == "watermark" else "_partition"
    (
        rows.write.format("delta")
        .mode("overwrite")
        .option("replaceWhere", bronze_condition(contract, manifest, run))
        .option("mergeSchema", "true")
        .partitionBy(partition_by)
        .save(uri)
    )
