"""A person's decision on quarantined rows into `ops.decisions`, or that one is taken back.

The next publish carries it out.
"""

from __future__ import annotations

import json
from datetime import datetime

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from millstream.errors import DecisionRefusedError
from millstream.jobs import JobModel
from millstream.lake import history
from millstream.lake.delta import (
    TableDefinition,
    Transaction,
    create_table,
    replace,
    require_writer,
    table_version,
)
from millstream.lake.names import Partition, RunKey, TableName
from millstream.lake.sql import literal
from millstream.lake.staging import SOURCE_ROW_ID
from millstream.lake.tables import DECISIONS, TableRef
from millstream.publishing import quarantine
from millstream.publishing.decisions import SCHEMA, Action, refusal, standing
from millstream.quality.predicates import REASONS
from millstream.transforms import table_of


class Args(JobModel):
    """The decision is on the rows that were found in `version`: those that the person was asked about."""

    lake_root: str
    run: RunKey
    table: TableName
    version: int
    reason: str = ""
    partition: Partition = ""
    action: Action
    decided_by: str
    decided_at: datetime
    note: str = ""


class Result(JobModel):
    """Decisions made, and the version of `ops.decisions`."""

    table: TableName
    version: int
    rows: int


def run(spark: SparkSession, args: Args) -> Result:
    """Raises DecisionRefusedError when rows are to be accepted that cannot stand in the table."""
    require_writer(spark, args.lake_root)
    table = TableRef.parse(args.table)
    search = standing if args.action == "withdraw" else quarantine.rows_at
    chosen = search(spark, table, args.lake_root, args.version, args.reason, args.partition)
    if args.action == "accept" and (why := refusal(chosen, table_of(table.name))):
        raise DecisionRefusedError(why)
    rows = chosen.select(
        F.lit(args.table).alias("table"),
        F.col(SOURCE_ROW_ID).alias("source_row_id"),
        F.lit(args.action).alias("action"),
        F.lit(args.note or None).cast("string").alias("note"),
        F.lit(args.decided_by).alias("decided_by"),
        F.lit(args.decided_at).cast("timestamp").alias("decided_at"),
        F.lit(args.run).alias("run"),
        F.col("_partition").alias("partition"),
        F.col("_run").alias("source_run"),
        F.col(REASONS).alias("reasons"),
    ).distinct()
    uri = DECISIONS.uri(args.lake_root)
    definition = TableDefinition(SCHEMA, "What people decided about quarantined rows")
    create_table(spark, uri, definition, history.snapshot(uri))
    noted = {"kind": "millstream.decision", **args.model_dump(mode="json", exclude={"lake_root"})}
    transaction = Transaction(
        writer=f"millstream:{DECISIONS}:{args.run}",
        sequence=int(args.decided_at.timestamp() * 1000),
        metadata=json.dumps(noted),
    )
    replace(rows, uri, f"run = {literal(args.run)}", transaction)
    return Result(table=str(DECISIONS), version=table_version(uri), rows=rows.count())
