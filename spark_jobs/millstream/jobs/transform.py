"""Bronze (in ETL mode and in a replay: landing) to a staged silver table.

Typed, duplicates marked, references checked.

Every source row is in the staged table. Which rows are published is decided later, from this one
materialised version.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any, Literal

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql.observation import Observation

from millstream.bronze.loads import (
    as_read_now,
    bronze_condition,
    changes_of_bronze,
    check_landed_columns,
    has_landed_files,
    landed_rows,
    loaded_still,
    received_changes,
    received_rows,
)
from millstream.bronze.typed import DRIFT, changed_values, typed, with_required_checked
from millstream.contracts import drift
from millstream.contracts.contract import Contract
from millstream.errors import ConservationError
from millstream.jobs import JobModel
from millstream.lake import checks
from millstream.lake.delta import require_types, require_writer
from millstream.lake.names import Inputs, Partitions, RunKey
from millstream.lake.reading import read_at
from millstream.lake.source_rows import delivered_for, file_order, row_id
from millstream.lake.staging import SOURCE_ROW_ID, write_staged
from millstream.lake.storage import Storage
from millstream.lake.tables import TableRef
from millstream.landing.manifest import Manifest, read_manifest
from millstream.publishing.compatibility import require_compatible
from millstream.quality.lookups import referenced_versions, with_references_checked
from millstream.quality.references import absent
from millstream.transforms import Table, table_of

log = logging.getLogger(__name__)


class Args(JobModel):
    """`mode` elt reads the bronze rows of this run, etl its landed files; so does elt when another run has
    loaded the same partitions meanwhile, or the contract has other columns now.

    A replay reads what an earlier run, `source_run`, landed: of its `partitions`, or all of it.
    """

    lake_root: str
    run: RunKey
    contract: dict[str, Any]
    mode: Literal["elt", "etl", "replay"]
    source_run: RunKey | None = None
    partitions: Partitions = ()


class Result(JobModel):
    """The staged version, rows read, the versions of the tables that were read, what has changed at the
    source, and when the run began to fetch what was read."""

    staged_uri: str
    staged_version: int
    rows: int
    inputs: Inputs
    drift: tuple[drift.Change, ...]
    fetch_began: datetime


def run(spark: SparkSession, args: Args) -> Result:
    require_writer(spark, args.lake_root)
    contract = Contract.from_dict(args.contract, origin="contract")
    require_compatible(contract, args.lake_root)
    manifest = read_manifest(Storage(args.lake_root), contract.dataset, args.source_run or args.run)
    table = table_of(contract.dataset, contract)
    source, inputs, changes = _source_rows(spark, contract, manifest, args)
    referenced = referenced_versions(table, args.lake_root)
    for why in sorted({*absent(table.references, referenced).values()}):
        log.warning("rules about it will not be checked: %s", why)

    marked = typed(source, contract)
    received, made = Observation(), Observation()
    rows = _transformed(marked.observe(received, *_which_rows()), table)
    rows = with_required_checked(rows, table.schema)
    rows = _with_partition_checked(rows, contract)
    rows = rows.withColumn("_deleted", F.col("_deleted") & (F.size("_malformed") == 0))
    rows = _with_duplicates_marked(_with_seen_marked(spark, rows, manifest), table)
    rows = with_references_checked(rows, table, args.lake_root, referenced)
    require_types(rows, table.schema, contract.dataset)
    checks.require_readable(rows, table.checks, table.file)

    drifted = F.count_if(F.size(DRIFT) > 0).alias("drifted")
    rows = rows.observe(made, *_which_rows(), drifted).drop(DRIFT)
    target = TableRef(zone="silver", name=contract.dataset)
    staged = write_staged(rows, target.staging_uri(args.lake_root, args.run))
    _require_each_row_once(contract.dataset, received.get, made.get)
    if made.get["drifted"]:
        changes += changed_values(marked, contract)
    drift.require_allowed(contract.dataset, changes, "Nothing was published")
    return Result(
        staged_uri=staged.uri,
        staged_version=staged.version,
        rows=staged.rows,
        inputs={**inputs, **referenced},
        drift=changes,
        fetch_began=manifest.fetch_began,
    )


def _which_rows() -> tuple[Column, Column]:
    """How many rows there are, and a sum that differs when they are others."""
    half = F.xxhash64(SOURCE_ROW_ID).bitwiseAND(F.lit(0xFFFFFFFF))
    return F.count(F.lit(1)).alias("rows"), F.sum(half).alias("ids")


def _require_each_row_once(dataset: str, received: dict[str, Any], made: dict[str, Any]) -> None:
    """Raises ConservationError when the transform, or a reference that it is checked against, has lost rows,
    repeated some, or given them other ids."""
    if any(received[name] != made[name] for name in ("rows", "ids")):
        raise ConservationError(
            f"{dataset}: {received['rows']} rows came in and {made['rows']} went out, not each of them once: "
            f"transforms/{dataset}.py has to hand on every row, with its {SOURCE_ROW_ID}, and a column in "
            "REFERENCES has to be unique in its table. Rows that must not be published are for the suite to "
            "say, so that they are counted and kept. Nothing was published"
        )


def _source_rows(
    spark: SparkSession, contract: Contract, manifest: Manifest, args: Args
) -> tuple[DataFrame, dict[str, int], tuple[drift.Change, ...]]:
    bronze = TableRef(zone="bronze", name=contract.dataset)
    if args.mode == "replay":
        files = [file for file in manifest.files if not args.partitions or file.partition in args.partitions]
        chosen = manifest.model_copy(update={"files": tuple(files)})
        rows = received_rows(spark, contract, args.lake_root, chosen)
        return rows, {}, received_changes(args.lake_root, contract, manifest, rows)
    loaded = loaded_still(args.lake_root, bronze, contract, manifest) if args.mode == "elt" else None
    if loaded is None or (not loaded.as_now and has_landed_files(args.lake_root, manifest)):
        if args.mode == "elt":
            why = "another run" if loaded is None else "a contract with other columns"
            log.warning("%s has loaded %s: the landed files of %s are read", why, bronze, args.run)
        changes = check_landed_columns(args.lake_root, contract, manifest)
        return landed_rows(spark, contract, args.lake_root, manifest), {}, changes
    rows = read_at(spark, str(bronze), args.lake_root, loaded.version)
    rows = rows.where(bronze_condition(contract, manifest, args.run))
    changes = loaded.drift
    if not loaded.as_now:
        rows = as_read_now(rows, contract)
        changes = changes_of_bronze(contract, rows, loaded.columns, loaded.drift)
    return rows, {str(bronze): loaded.version}, changes


def _transformed(source: DataFrame, table: Table) -> DataFrame:
    """The table's columns, and the partition that each row was delivered for."""
    return table.rows(source).withColumn("_partition", delivered_for())


def _with_partition_checked(rows: DataFrame, contract: Contract) -> DataFrame:
    """A row that belongs to another period than its file's would be published into the wrong partition."""
    if contract.partition is None:
        return rows
    own = F.col(contract.partition.column)
    reason = F.concat(
        F.lit(f"{contract.partition.column}: "), own, F.lit(" in the delivery for "), F.col("_partition")
    )
    stray = F.when(own != F.col("_partition"), F.array(reason)).otherwise(F.array().cast("array<string>"))
    return rows.withColumn("_malformed", F.concat("_malformed", stray))


def _with_seen_marked(spark: SparkSession, rows: DataFrame, manifest: Manifest) -> DataFrame:
    """`_seen`: whether another run has brought the row just so, and a page has it once more."""
    ranges = [(file.path, first, last) for file in manifest.files for first, last in file.seen]
    if not ranges:
        return rows.withColumn("_seen", F.lit(False))
    numbered = spark.createDataFrame(ranges, "file string, first bigint, last bigint").select(
        "file", F.explode(F.sequence("first", "last")).alias("row")
    )
    seen = numbered.select(row_id("file", "row"), F.lit(True).alias("_seen"))
    marked = rows.join(F.broadcast(seen.distinct()), SOURCE_ROW_ID, "left")
    return marked.withColumn("_seen", F.coalesce("_seen", F.lit(False)))


def _with_duplicates_marked(rows: DataFrame, table: Table) -> DataFrame:
    """Of readable rows with the same key, of one period, the latest one is kept, where the table says what
    that is, and else the first one in file order; the others get `_duplicate`, and so do rows that have been
    seen. Periods are apart, so that one run of two leaves the same as two runs. A row that could not be read
    is no duplicate, whatever its key says: it is kept in quarantine.
    """
    latest = [F.col(table.latest_by).desc_nulls_last()] if table.latest_by else []
    order = Window.partitionBy("_partition", *table.key).orderBy(
        "_seen", F.size("_malformed") > 0, *latest, *file_order()
    )
    comparable = F.size("_malformed") == 0
    for name in table.key:
        comparable = comparable & F.col(name).isNotNull()
    doubled = comparable & (F.row_number().over(order) > 1)
    return rows.withColumn("_duplicate", F.col("_seen") | doubled).drop("_seen")
