"""Landing to bronze: every landed row as the source sent it, with where it came from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic import TypeAdapter
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.observation import Observation

from millstream import drift, ledger
from millstream.compatibility import require_compatible
from millstream.contract import Contract
from millstream.decode import fields, read_landing
from millstream.errors import SchemaDriftError, SourceDataError
from millstream.jobs import JobModel
from millstream.lake.staging import WHOLE
from millstream.lake.storage import Storage
from millstream.lake.tables import TableRef
from millstream.lake.writing import literal, require_writer, table_exists, table_version
from millstream.landing import Manifest, read_manifest

KIND = "millstream.load"
CHANGES = TypeAdapter(tuple[drift.Change, ...])


class Args(JobModel):
    """`run` is the run's key; what it landed is in its manifest."""

    lake_root: str
    run: str
    contract: dict[str, Any]


class Result(JobModel):
    """Bronze table, its version, rows read from landing, and what has changed at the source."""

    table: str
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
        .withColumn("_ingested_at", F.lit(manifest.created_at).cast("timestamp"))
        .observe(counted, F.count(F.lit(1)).alias("rows"))
    )
    uri = table.uri(args.lake_root)
    _as_text(spark, uri, contract)
    _replace_partitions(rows, uri, contract, manifest, args.run, changes)
    return Result(table=str(table), version=table_version(uri), rows=int(counted.get["rows"]), drift=changes)


def check_landed_columns(lake_root: str, contract: Contract, manifest: Manifest) -> tuple[drift.Change, ...]:
    """What has changed in the columns of the landed files; each change is told with the first file of it.

    Raises: SchemaDriftError when the contract freezes such a change, or the files of one table differ.
    """
    storage = Storage(lake_root)
    changes: dict[tuple[str, str], drift.Change] = {}
    by_file: dict[str, list[str]] = {}
    for path in manifest.paths:
        with storage.reading(path) as stream:
            found = by_file[path] = fields(contract, stream, path)
        differences = drift.of_columns(contract, found) if found else []
        drift.require_allowed(f"{contract.dataset}: {path}", differences, "Nothing was loaded", found)
        for change in differences:
            changes.setdefault((change.kind, change.column), change)
    if contract.source.kind == "sql" and len({tuple(found) for found in by_file.values()}) > 1:
        # Spark would read all files with the columns of one of them.
        raise SchemaDriftError(
            f"{contract.dataset}: the table's columns changed while run {manifest.run} read it. Nothing was "
            "loaded. What to do: clear the run from plan"
        )
    return tuple(changes.values())


def recorded_changes(lake_root: str, table: TableRef, run: str) -> tuple[drift.Change, ...]:
    """What run `run` found changed in the columns when it loaded bronze, from the table's history."""
    loads = _loads(table, lake_root)
    return next((CHANGES.validate_python(noted["drift"]) for noted in loads if noted["run"] == run), ())


def loaded_still(lake_root: str, table: TableRef, contract: Contract, manifest: Manifest) -> int | None:
    """The version at which bronze has exactly the rows that a run has landed. None when it has not, or no
    longer: another run may have loaded the same partitions since.
    """
    own = set(manifest.partitions or (WHOLE,))
    version = ledger.version(table, lake_root)
    for noted in _loads(table, lake_root):
        if noted["version"] > (version or 0):
            continue
        if noted["run"] == manifest.key:
            return version
        # Runs of a dataset by watermark lie beside each other. Notes of before 0.2 name no partitions.
        if contract.load != "watermark" and own & set(noted.get("partitions") or own):
            return None
    return None


def _loads(table: TableRef, lake_root: str) -> Iterator[dict[str, Any]]:
    """What loads of bronze noted in their commits, newest first, each with its `version`."""
    for commit in ledger.history(table, lake_root):
        try:
            noted = json.loads(commit.get("userMetadata") or "")
        except ValueError:
            continue
        if isinstance(noted, dict) and noted.get("kind") == KIND:
            yield {**noted, "version": commit["version"]}


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


def _as_text(spark: SparkSession, uri: str, contract: Contract) -> None:
    """Make a database's typed columns text, once: until version 0.1 bronze kept the types.

    A column that is retyped at the source could not be loaded beside them.
    """
    if not table_exists(uri):
        return
    rows = spark.read.format("delta").load(uri)
    typed = [
        name for name, kind in rows.dtypes if name in contract.column_names and not kind.startswith("string")
    ]
    if typed:
        text = rows.withColumns({name: F.col(name).cast("string") for name in typed})
        writer = text.write.format("delta").mode("overwrite").option("overwriteSchema", "true")
        writer.partitionBy(_partition_by(contract)).save(uri)


def _partition_by(contract: Contract) -> str:
    # A key range that a longer-lived source delivers grows by runs, everything else by partition.
    return "_ingest_run" if contract.load == "watermark" else "_partition"


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
        "drift": CHANGES.dump_python(changes, mode="json"),
    }
    (
        rows.write.format("delta")
        .mode("overwrite")
        .option("replaceWhere", bronze_condition(contract, manifest, run))
        .option("mergeSchema", "true")
        .option("userMetadata", json.dumps(noted))
        .partitionBy(_partition_by(contract))
        .save(uri)
    )
