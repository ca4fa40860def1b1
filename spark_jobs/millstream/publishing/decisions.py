"""What people decided about quarantined rows, as data: the table `ops.decisions`.

Every publish asks it, so a decision outlives reruns, backfills and replays. It is bound to the landed file
and row: what the source delivers in other bytes is judged anew.
"""

from __future__ import annotations

from functools import reduce
from operator import and_
from typing import Literal

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, StringType, StructField, StructType, TimestampType

from millstream.lake.checks import breaks
from millstream.lake.reading import read_at
from millstream.lake.staging import SOURCE_ROW_ID
from millstream.lake.tables import DECISIONS, TableRef
from millstream.publishing import quarantine
from millstream.quality.predicates import MALFORMED, REASONS
from millstream.transforms import Table

DECISION = "_decision"
DECIDED_ON = "_decided_on"
# A withdrawn decision leaves the row to the rules.
Action = Literal["accept", "drop", "withdraw"]

SCHEMA = StructType(
    [
        StructField("table", StringType(), False, {"comment": "Table that the row was to be published in"}),
        StructField("source_row_id", StringType(), False, {"comment": "Landed file and row number"}),
        StructField(
            "action",
            StringType(),
            False,
            {"comment": "accept: published; drop: published nowhere; withdraw: neither, any more"},
        ),
        StructField("note", StringType(), True, {"comment": "Why, in that person's words"}),
        StructField("decided_by", StringType(), False, {"comment": "Airflow user who decided"}),
        StructField("decided_at", TimestampType(), False, {"comment": "When; the newest decision counts"}),
        StructField("run", StringType(), False, {"comment": "Run that asked for the decision"}),
        StructField("partition", StringType(), True, {"comment": "Partition that the row was delivered for"}),
        StructField("source_run", StringType(), True, {"comment": "Run that brought the row"}),
        StructField(
            "reasons",
            ArrayType(StringType()),
            True,
            {"comment": "Rules that it broke at that time"},
        ),
    ]
)


def newest(spark: SparkSession, table: TableRef, lake_root: str, version: int) -> DataFrame:
    """The decision that counts for each source row of `table`: `_source_row_id`, `_decision`, and
    `_decided_on`, the rules that the row broke then."""
    made = _made(spark, table, lake_root, version)
    return (
        made.groupBy(F.col("source_row_id").alias(SOURCE_ROW_ID))
        .agg(F.max_by(F.struct("action", "reasons"), "decided_at").alias("newest"))
        .select(
            SOURCE_ROW_ID,
            F.col("newest.action").alias(DECISION),
            F.col("newest.reasons").alias(DECIDED_ON),
        )
    )


def standing(
    spark: SparkSession, table: TableRef, lake_root: str, version: int, reason: str = "", partition: str = ""
) -> DataFrame:
    """Source rows of `table` that `ops.decisions` has, at `version`, accepted or dropped; chosen as in the
    quarantine, and with its columns `_partition`, `_run` and `_reasons`."""
    rows = (
        _made(spark, table, lake_root, version)
        .groupBy("source_row_id")
        .agg(F.max_by(F.struct("action", "partition", "source_run", "reasons"), "decided_at").alias("newest"))
        .where("newest.action <> 'withdraw'")
        .select(
            F.col("source_row_id").alias(SOURCE_ROW_ID),
            F.col("newest.partition").alias("_partition"),
            F.col("newest.source_run").alias("_run"),
            F.col("newest.reasons").alias(REASONS),
        )
    )
    return quarantine.chosen(rows, reason, partition)


def _made(spark: SparkSession, table: TableRef, lake_root: str, version: int) -> DataFrame:
    """All decisions on rows of `table`."""
    return read_at(spark, str(DECISIONS), lake_root, version).where(F.col("table") == str(table))


def accepted(table: Table) -> Column:
    """Whether a person has accepted a broken row, and in spite of all the rules that it breaks now: nobody
    has seen a later rule broken."""
    known = F.size(F.array_except(REASONS, DECIDED_ON)) == 0
    return (F.col(DECISION) == "accept") & known & acceptable(table)


def acceptable(table: Table) -> Column:
    """Whether a broken row could stand in the table at all: readable, with a key, within its constraints."""
    needed = [F.col(column.name).isNotNull() for column in table.schema.fields if not column.nullable]
    kept = [~breaks(check) for check in table.checks.values()]
    return F.coalesce(reduce(and_, [F.size(MALFORMED) == 0, *needed, *kept]), F.lit(False))


def refusal(rows: DataFrame, table: Table) -> str | None:
    """Why `rows` of the quarantine cannot all be accepted; None when they can."""
    counts = rows.where(~acceptable(table)).agg(
        F.count(F.lit(1)).alias("rows"),
        F.min(F.struct(SOURCE_ROW_ID, REASONS)).alias("first"),
    )
    refused = counts.collect()[0]
    if not refused["rows"]:
        return None
    row_id, reasons = refused["first"]
    return (
        f"silver.{table.name}: {refused['rows']} of the chosen rows cannot be accepted: they are unreadable, "
        f"lack a key or break a constraint of the table, which no decision changes; for example {row_id}: "
        f"{'; '.join(reasons)}. What to do: choose fewer by a reason or a partition, drop them, or correct "
        "the source"
    )
