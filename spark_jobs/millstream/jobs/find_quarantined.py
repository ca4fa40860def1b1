"""Which rows of a dataset are in quarantine, or were decided on; why, and what to publish once more."""

from __future__ import annotations

from typing import Any, Literal

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from millstream import ledger, quarantine
from millstream.contract import Contract
from millstream.decisions import DECISIONS, refusal, standing
from millstream.jobs import JobModel
from millstream.lake.tables import TableRef
from millstream.quality.predicates import REASONS

# Enough for a person to read; reasons that quote a value can be as many as there are rows.
MOST_GROUPS = 50


class Args(JobModel):
    """Limits to rows with `reason` in one of their reasons, and to one month; both may be empty.

    To withdraw decisions, those rows are looked for on which one stands; else the rows in quarantine.
    """

    lake_root: str
    run: str
    contract: dict[str, Any]
    action: Literal["replay", "accept", "drop", "withdraw"] = "replay"
    reason: str = ""
    partition: str = ""


class Group(JobModel):
    """Rows of one partition that broke one rule; a row can be in several."""

    partition: str
    reason: str
    rows: int


class Piece(JobModel):
    """A run that brought such rows, and the months concerned; none where the table is not cut."""

    source_run: str
    partitions: tuple[str, ...]


class Result(JobModel):
    """What was found, and in which version of the quarantine, or of `ops.decisions`; null without one.

    `refusal` says why the rows cannot all be accepted.
    """

    rows: int = 0
    version: int | None = None
    groups: tuple[Group, ...] = ()
    pieces: tuple[Piece, ...] = ()
    refusal: str | None = None


def run(spark: SparkSession, args: Args) -> Result:
    contract = Contract.from_dict(args.contract, origin="contract")
    table = TableRef(zone="silver", name=contract.dataset)
    withdraw = args.action == "withdraw"
    version = ledger.version(DECISIONS if withdraw else table.quarantine, args.lake_root)
    if version is None:
        return Result()
    search = standing if withdraw else quarantine.rows_at
    rows = search(spark, table, args.lake_root, version, args.reason, args.partition)
    return Result(
        rows=rows.count(),
        version=version,
        groups=_groups(rows),
        pieces=_pieces(rows, contract),
        refusal=None if withdraw else refusal(rows, table),
    )


def _groups(rows: DataFrame) -> tuple[Group, ...]:
    counted = (
        rows.select(F.col("_partition").alias("partition"), F.explode(REASONS).alias("reason"))
        .groupBy("partition", "reason")
        .agg(F.count(F.lit(1)).alias("rows"))
        .orderBy(F.desc("rows"), "partition", "reason")
        .limit(MOST_GROUPS)
    )
    return tuple(Group(**row.asDict()) for row in counted.collect())


def _pieces(rows: DataFrame, contract: Contract) -> tuple[Piece, ...]:
    found = rows.groupBy("_run").agg(F.collect_set("_partition").alias("months")).orderBy("_run").collect()
    return tuple(
        Piece(source_run=row["_run"], partitions=tuple(sorted(row["months"])) if contract.partition else ())
        for row in found
    )
