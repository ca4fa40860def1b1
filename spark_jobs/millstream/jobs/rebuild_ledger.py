"""Table histories to `ops.ledger`: one line for each run, table and partition.

The accounts in the commits are the truth. This table is made from them, whole, whenever they have changed;
it may be deleted at any time.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
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
from millstream.lake import ledger
from millstream.lake.delta import require_writer, table_version
from millstream.lake.inventory import tables
from millstream.lake.staging import replace_schema_too
from millstream.lake.storage import Storage
from millstream.lake.tables import TableRef
from millstream.landing.manifest import manifests_of

LEDGER = TableRef(zone="ops", name="ledger")

_COLUMNS: tuple[tuple[str, DataType, str], ...] = (
    ("table", StringType(), "Table that was published"),
    ("run", StringType(), "Run that published it"),
    ("partition", StringType(), "Partition; `all` for a whole table"),
    ("rows_read", LongType(), "Source rows; the sum of the next five columns"),
    ("rows_written", LongType(), "Rows published"),
    ("rows_quarantined", LongType(), "Rows that broke a critical expectation"),
    ("rows_deduplicated", LongType(), "Rows with the key of another row"),
    ("rows_dropped", LongType(), "Rows that a person decided to publish nowhere"),
    ("rows_late", LongType(), "Rows that came after their window had closed; none in a batch"),
    ("rows_accepted", LongType(), "Of the written, broken ones that a person accepted"),
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
    run: str


class Result(JobModel):
    """Lines of the ledger; not `changed` when it was up to date."""

    table: str
    version: int
    lines: int
    changed: bool


def run(spark: SparkSession, args: Args) -> Result:
    require_writer(spark, args.lake_root)
    found = lines(args.lake_root)
    uri = LEDGER.uri(args.lake_root)
    digest = hashlib.sha256(repr(found).encode()).hexdigest()
    newest = ledger.history(LEDGER, args.lake_root, limit=1)
    changed = not newest or newest[0].get("userMetadata") != digest
    if changed:
        replace_schema_too(spark.createDataFrame(found, SCHEMA).coalesce(1), uri, metadata=digest)
    return Result(table=str(LEDGER), version=table_version(uri), lines=len(found), changed=changed)


def lines(lake_root: str) -> list[tuple[Any, ...]]:
    """The ledger's lines in the order of `SCHEMA`, read from the tables' histories."""
    storage = Storage(lake_root)
    found = []
    for table in tables(lake_root):
        accounts = ledger.entries(table, lake_root)
        landed = (
            {manifest.key: manifest.fetch_began for manifest in manifests_of(storage, table.name)}
            if accounts
            else {}
        )
        for entry in accounts:
            for partition, counts in sorted(entry.partitions.items()):
                found.append(_line(entry, partition, counts, entry.fetch_began or landed.get(entry.run)))
    return found


def _line(
    entry: ledger.Entry, partition: str, counts: ledger.PartitionCounts, landed: datetime | None
) -> tuple[Any, ...]:
    return (
        entry.table,
        entry.run,
        partition,
        counts.read,
        counts.written,
        counts.quarantined,
        counts.deduplicated,
        counts.dropped,
        counts.late,
        counts.accepted,
        entry.inputs,
        entry.version,
        counts.content_hash,
        counts.quarantine_hash,
        bool(entry.verdict.get("passed")),
        len(entry.verdict.get("warnings") or ()),
        entry.replay,
        entry.watermark,
        landed,
        entry.committed,
        entry.contract_version,
        entry.suite_version,
        entry.code_version,
        [str(change) for change in entry.drift],
    )
