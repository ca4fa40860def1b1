"""Table histories to `ops.ledger`: one line for each run, table and partition.

The accounts in the commits are the truth. This table is made from them, whole, whenever they have changed;
it may be deleted at any time.
"""

from __future__ import annotations

import hashlib
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DataType,
    IntegerType,
    LongType,
    MapType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from millstream.jobs import JobModel
from millstream.lake import history
from millstream.lake.accounts import Account, PartitionCounts
from millstream.lake.delta import require_writer, table_version
from millstream.lake.inventory import tables
from millstream.lake.names import RunKey, TableName
from millstream.lake.staging import replace_schema_too
from millstream.lake.tables import TableRef

LEDGER = TableRef(zone="ops", name="ledger")

_COLUMNS: tuple[tuple[str, DataType, str], ...] = (
    ("table", StringType(), "Table that was published"),
    ("run", StringType(), "Run that published it"),
    ("partition", StringType(), "Partition; `all` for a whole table"),
    ("rows_read", LongType(), "Source rows; the sum of the next six columns"),
    ("rows_written", LongType(), "Rows published"),
    ("rows_quarantined", LongType(), "Rows that broke a critical expectation"),
    ("rows_deduplicated", LongType(), "Rows with the key of another row"),
    ("rows_dropped", LongType(), "Rows that a person decided to publish nowhere"),
    ("rows_tombstones", LongType(), "Rows that say that the source has deleted the row of their key"),
    ("rows_late", LongType(), "Rows that came after their window had closed; none in a batch"),
    ("rows_accepted", LongType(), "Of the written, broken ones that a person accepted"),
    ("rows_deleted", LongType(), "Rows of the table that left it, because the source has deleted them"),
    ("inputs", MapType(StringType(), LongType()), "Input table and its Delta version"),
    ("version", LongType(), "Delta version that this publish made"),
    ("content_hash", StringType(), "Order-independent hash of the published rows"),
    ("quarantine_hash", StringType(), "The same of the quarantined rows"),
    ("passed", BooleanType(), "Verdict of the quality gate"),
    ("warnings", IntegerType(), "Rules that warned"),
    ("replay", StringType(), "Run that published the rows of `run` once more; null for that run itself"),
    ("watermark", StringType(), "How far the source had been read"),
    ("fetch_began", TimestampType(), "When the run began to fetch; null for tables made from tables"),
    ("committed_at", TimestampType(), "When the publish was committed"),
    ("contract_version", IntegerType(), "Version of the dataset contract"),
    ("suite_version", StringType(), "Version of the expectation suite"),
    ("code_version", StringType(), "Commit of the code"),
    ("drift", ArrayType(StringType()), "What had changed at the source"),
)
SCHEMA = StructType([StructField(name, kind, True, {"comment": text}) for name, kind, text in _COLUMNS])


class Args(JobModel):
    lake_root: str
    run: RunKey


class Result(JobModel):
    """Lines of the ledger; not `changed` when it was up to date."""

    table: TableName
    version: int
    lines: int
    changed: bool


def run(spark: SparkSession, args: Args) -> Result:
    require_writer(spark, args.lake_root)
    records = lines(args.lake_root)
    uri = LEDGER.uri(args.lake_root)
    digest = hashlib.sha256(repr(records).encode()).hexdigest()
    newest = history.read(LEDGER, args.lake_root, limit=1).commits
    changed = not newest or newest[0].metadata != digest
    if changed:
        replace_schema_too(spark.createDataFrame(records, SCHEMA).coalesce(1), uri, metadata=digest)
    return Result(table=str(LEDGER), version=table_version(uri), lines=len(records), changed=changed)


def lines(lake_root: str) -> list[tuple[Any, ...]]:
    """The ledger's lines in the order of `SCHEMA`, read from the tables' histories."""
    return [
        _line(account, partition, counts)
        for table in tables(lake_root)
        for account in history.read(table, lake_root).accounts
        for partition, counts in sorted(account.partitions.items())
    ]


def _line(account: Account, partition: str, counts: PartitionCounts) -> tuple[Any, ...]:
    return (
        account.table,
        account.run,
        partition,
        counts.read,
        counts.written,
        counts.quarantined,
        counts.deduplicated,
        counts.dropped,
        counts.tombstones,
        counts.late,
        counts.accepted,
        counts.deleted,
        account.inputs,
        account.version,
        counts.content_hash,
        counts.quarantine_hash,
        bool(account.verdict.get("passed")),
        len(account.verdict.get("warnings") or ()),
        account.replay,
        account.watermark,
        account.fetch_began,
        account.committed,
        account.contract_version,
        account.suite_version,
        account.code_version,
        [str(change) for change in account.drift],
    )
