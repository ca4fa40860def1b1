"""Staged to published: good rows to the table, broken ones to its quarantine, the account into the commit.

Nothing is published without a verdict on exactly this staged version, and nothing unless every row that was
read is accounted for.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from millstream import ledger
from millstream.contract import Contract
from millstream.drift import Change
from millstream.errors import QualityGateError
from millstream.jobs import JobModel
from millstream.jobs.quality_gate import verdict_path
from millstream.lake.staging import SOURCE_ROW_ID, WHOLE, read_staged
from millstream.lake.storage import Storage
from millstream.lake.tables import TableRef
from millstream.lake.writing import (
    Commit,
    TableDefinition,
    create_table,
    literal,
    merge,
    replace,
    require_columns,
    require_writer,
    table_version,
)
from millstream.quality.predicates import split
from millstream.quality.suite import Suite
from millstream.quality.verdict import Verdict
from millstream.transforms import transform_of

Load = Literal["full", "partition", "watermark"]


class Args(JobModel):
    """What to publish and under which account.

    `sequence` orders the attempts: of two that publish the same partitions the higher one stays.
    `rows_read` is what the transform counted. `partitions` are those of the run, empty for a whole table.
    `contract` is a dataset's, `drift` what the transform found changed at its source.
    """

    lake_root: str
    table: str
    run: str
    sequence: int
    staged_uri: str
    staged_version: int
    rows_read: int
    load: Load
    partitions: tuple[str, ...] = ()
    partition_column: str | None = None
    suite: dict[str, Any]
    inputs: dict[str, int] = Field(default_factory=dict)
    contract: dict[str, Any] | None = None
    drift: tuple[Change, ...] = ()
    contract_version: int | None = None
    code_version: str
    watermark: str | None = None


class Result(JobModel):
    """The published version and the run's account; not `changed` when the table had these rows already."""

    table: str
    version: int
    changed: bool
    read: int
    written: int
    quarantined: int
    deduplicated: int
    partitions: tuple[str, ...]
    verdict: dict[str, Any]


def run(spark: SparkSession, args: Args) -> Result:
    require_writer(spark, args.lake_root)
    table = TableRef.parse(args.table)
    verdict = _passed(args)
    suite = Suite.from_dict(args.suite, verdict.parameters)
    staged = _judged(read_staged(spark, args.staged_uri, args.staged_version), suite, verdict)
    columns = _published_columns(table)
    require_columns(table.uri(args.lake_root), columns)
    entry = _account(staged, columns, args, verdict)
    entry.check_conservation(args.rows_read)
    _agree_with_gate(entry, verdict)

    changed = _differs(entry, table, args.lake_root) and _adds_anything(spark, staged, table, args, entry)
    if changed:
        _publish_quarantine(spark, staged, table, columns, args, entry)
        _publish_rows(spark, staged, table, columns, args, entry)
    return Result(
        table=args.table,
        version=table_version(table.uri(args.lake_root)),
        changed=changed,
        read=entry.read,
        written=entry.written,
        quarantined=entry.quarantined,
        deduplicated=entry.deduplicated,
        partitions=tuple(sorted(entry.partitions)),
        verdict=entry.verdict,
    )


def _passed(args: Args) -> Verdict:
    """The verdict. Raises QualityGateError unless it allows to publish exactly this staged version."""
    storage = Storage(args.lake_root)
    path = verdict_path(args.staged_uri, args.lake_root)
    if not storage.exists(path):
        raise QualityGateError(
            f"{args.table}: there is no verdict on run {args.run}, so nothing is published; clear the "
            "quality_gate task"
        )
    verdict = Verdict.model_validate_json(storage.read(path))
    if verdict.table != args.table or verdict.staged_version != args.staged_version:
        raise QualityGateError(
            f"{args.table}: the verdict is on {verdict.table} version {verdict.staged_version}, not on "
            f"staged version {args.staged_version}; clear the quality_gate task"
        )
    if not verdict.passed:
        raise QualityGateError(f"{args.table}: the quality gate did not pass: {verdict.reason}")
    return verdict


def _published_columns(table: TableRef) -> StructType:
    """The table's columns: the transform's, then the id of the source row that each row came from."""
    source_row = StructField(
        SOURCE_ROW_ID, StringType(), True, {"comment": "Landed file and row number that this row came from"}
    )
    fields = [column for column in transform_of(table.name).SCHEMA.fields if column.name != SOURCE_ROW_ID]
    return StructType([*fields, source_row])


def _judged(staged: DataFrame, suite: Suite, verdict: Verdict) -> DataFrame:
    """The staged rows with `_reasons`, found as the gate found them: duplicates are not judged."""
    judged = split(staged.where(~F.col("_duplicate")), suite, verdict.broken_indexes)
    return judged.unionByName(staged.where("_duplicate"), allowMissingColumns=True)


def _is_good() -> Column:
    return (F.size("_reasons") == 0) & ~F.col("_duplicate")


def _is_quarantined() -> Column:
    return (F.size("_reasons") > 0) & ~F.col("_duplicate")


def _account(staged: DataFrame, columns: StructType, args: Args, verdict: Verdict) -> ledger.Entry:
    """Counts and content hashes per partition, in one aggregation over the staged rows."""
    row_hash = F.xxhash64(*(_hashable(column) for column in columns.fields)).cast("decimal(38,0)")
    reasons_hash = F.xxhash64(SOURCE_ROW_ID, F.col("_reasons")).cast("decimal(38,0)")
    counted = (
        staged.groupBy("_partition")
        .agg(
            F.count(F.lit(1)).alias("read"),
            F.count_if(_is_good()).alias("written"),
            F.count_if(_is_quarantined()).alias("quarantined"),
            F.count_if("_duplicate").alias("deduplicated"),
            F.sum(F.when(_is_good(), row_hash)).cast("string").alias("content_hash"),
            F.sum(F.when(_is_quarantined(), reasons_hash)).cast("string").alias("quarantine_hash"),
        )
        .collect()
    )
    found = {
        row["_partition"]: ledger.PartitionCounts(
            **{
                **row.asDict(),
                "content_hash": row["content_hash"] or "0",
                "quarantine_hash": row["quarantine_hash"] or "0",
            }
        )
        for row in counted
    }
    empty = ledger.PartitionCounts(read=0, written=0, quarantined=0, deduplicated=0, content_hash="0")
    expected = args.partitions or (() if found else (WHOLE,))
    return ledger.Entry(
        table=args.table,
        run=args.run,
        partitions={name: found.get(name, empty) for name in sorted({*expected, *found})},
        verdict=_summary(verdict),
        inputs=args.inputs,
        contract_version=args.contract_version,
        suite_version=verdict.suite_version,
        code_version=args.code_version,
        watermark=args.watermark,
        contract=Contract.from_dict(args.contract, "contract").schema_in_short() if args.contract else None,
        drift=args.drift,
    )


def _hashable(column: StructField) -> Column:
    # Nulls and column order must tell: xxhash64 skips nulls, so a null is hashed as a mark of its own.
    return F.coalesce(F.col(column.name).cast("string"), F.lit("\x00null"))


def _summary(verdict: Verdict) -> dict[str, Any]:
    return {
        "passed": verdict.passed,
        "reason": verdict.reason,
        "suite": verdict.suite,
        "docs_page": verdict.docs_page,
        "warnings": [
            {"label": rule.label, "share": rule.share, "success": rule.success} for rule in verdict.warnings
        ],
    }


def _agree_with_gate(entry: ledger.Entry, verdict: Verdict) -> None:
    if entry.quarantined != verdict.quarantined_rows:
        raise QualityGateError(
            f"{entry.table}: the gate counted {verdict.quarantined_rows} rows for quarantine, publishing "
            f"{entry.quarantined}: the staged table or the suite is not the one that was judged"
        )


def _differs(entry: ledger.Entry, table: TableRef, lake_root: str) -> bool:
    """Whether publishing would change anything: the table's own account of the same partitions decides."""
    published = ledger.latest_by_partition(table, lake_root)
    for name, counts in entry.partitions.items():
        if name not in published:
            return True
        earlier, had = published[name]
        same = had == counts and earlier.suite_version == entry.suite_version
        if not same or earlier.contract_version != entry.contract_version:
            return True
        if earlier.watermark != entry.watermark or earlier.drift != entry.drift:
            return True
    return False


def _adds_anything(
    spark: SparkSession, staged: DataFrame, table: TableRef, args: Args, entry: ledger.Entry
) -> bool:
    """False when the table has every row of an increment already.

    Watermarks are inclusive, so that no row with the last timestamp is missed: each increment brings back
    the rows at the boundary, and these must not make a new version of the table.
    """
    if args.load != "watermark" or entry.quarantined or ledger.version(table, args.lake_root) is None:
        return True
    columns = [name for name in _published_columns(table).fieldNames() if name != SOURCE_ROW_ID]
    good = staged.where(_is_good()).select(*columns)
    present = spark.read.format("delta").load(table.uri(args.lake_root)).select(*columns)
    return not good.exceptAll(present).isEmpty()


def _commit(args: Args, table: TableRef, entry: ledger.Entry) -> Commit:
    scope = ",".join(args.partitions) or WHOLE
    return Commit(
        writer=f"millstream:{table}:{scope}", sequence=args.sequence, metadata=entry.model_dump_json()
    )


def _condition(args: Args, column: str) -> str | None:
    if not args.partitions:
        return None
    return f"{column} IN ({', '.join(literal(name) for name in args.partitions)})"


def _publish_rows(
    spark: SparkSession,
    staged: DataFrame,
    table: TableRef,
    columns: StructType,
    args: Args,
    entry: ledger.Entry,
) -> None:
    uri = table.uri(args.lake_root)
    module = transform_of(table.name)
    partition_by = (args.partition_column,) if args.partition_column else ()
    create_table(
        spark,
        uri,
        TableDefinition(columns, (module.__doc__ or "").split("\n")[0], partition_by, module.CHECKS),
    )
    good = staged.where(_is_good()).select(*columns.fieldNames())
    commit = _commit(args, table, entry)
    if args.load == "watermark":
        differ = " OR ".join(
            f"NOT (old.`{name}` <=> new.`{name}`)" for name in columns.fieldNames() if name != SOURCE_ROW_ID
        )
        merge(good, uri, module.KEY, f"({differ})", commit)
    else:
        replace(good, uri, _condition(args, args.partition_column or ""), commit)


def _publish_quarantine(
    spark: SparkSession,
    staged: DataFrame,
    table: TableRef,
    columns: StructType,
    args: Args,
    entry: ledger.Entry,
) -> None:
    """Broken rows, with their reasons; a rerun whose rows are good again empties what it had put there."""
    uri = table.quarantine.uri(args.lake_root)
    if entry.quarantined == 0 and ledger.version(table.quarantine, args.lake_root) is None:
        return
    broken = staged.where(_is_quarantined()).select(
        *columns.fieldNames(),
        F.col("_reasons"),
        F.col("_source_record"),
        F.col("_partition"),
        F.lit(args.run).alias("_run"),
        F.lit(args.contract_version).cast("int").alias("_contract_version"),
        F.lit(entry.suite_version).alias("_suite_version"),
    )
    create_table(spark, uri, _quarantine_definition(table, columns))
    condition = f"_run = {literal(args.run)}" if args.load == "watermark" else _condition(args, "_partition")
    replace(broken, uri, condition, _commit(args, table.quarantine, entry))


def _quarantine_definition(table: TableRef, columns: StructType) -> TableDefinition:
    from pyspark.sql.types import ArrayType, IntegerType

    kept = [StructField(column.name, column.dataType, True, column.metadata) for column in columns.fields]
    more = [
        StructField("_reasons", ArrayType(StringType()), True, {"comment": "Every rule that the row broke"}),
        StructField("_source_record", StringType(), True, {"comment": "The row as received, if unreadable"}),
        StructField("_partition", StringType(), True, {"comment": "Partition that it was delivered for"}),
        StructField("_run", StringType(), True, {"comment": "Run that quarantined it"}),
        StructField("_contract_version", IntegerType(), True, {"comment": "Version of the dataset contract"}),
        StructField("_suite_version", StringType(), True, {"comment": "Version of the expectation suite"}),
    ]
    return TableDefinition(
        StructType([*kept, *more]), f"Rows that broke a critical expectation of {table}", ("_partition",)
    )
