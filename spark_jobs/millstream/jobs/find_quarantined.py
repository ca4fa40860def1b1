"""Which rows of a dataset are in quarantine, or were decided on; why, and what to publish once more."""

from __future__ import annotations

from collections import defaultdict
from functools import reduce
from operator import or_
from typing import Any, Literal

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from millstream.contracts.contract import Contract
from millstream.contracts.updates import INCREMENTS
from millstream.jobs import JobModel
from millstream.lake import history
from millstream.lake.names import Partition, Partitions, RunKey
from millstream.lake.staging import SOURCE_ROW_ID
from millstream.lake.tables import DECISIONS, WHOLE, TableRef
from millstream.publishing import quarantine
from millstream.publishing.decisions import refusal, standing
from millstream.quality.predicates import REASONS
from millstream.transforms import table_of

# Enough for a person to read; reasons that quote a value can be as many as there are rows.
MOST_GROUPS = 50
MOST_EXAMPLES = 20
# Characters of a value, and of a record as received, that are shown.
VALUE_LENGTH = 80
RECORD_LENGTH = 300


class Args(JobModel):
    """Limits to rows with `reason` in one of their reasons, and to one month; both may be empty.

    To withdraw decisions, those rows are looked for on which one stands; else the rows in quarantine.
    """

    lake_root: str
    run: RunKey
    contract: dict[str, Any]
    action: Literal["replay", "accept", "drop", "withdraw"] = "replay"
    reason: str = ""
    partition: Partition = ""


class Group(JobModel):
    """Rows of one partition that broke one rule; a row can be in several."""

    partition: Partition
    reason: str
    rows: int


class Example(JobModel):
    """One of the rows: its `values` as text, the key's columns first, without nulls; long ones are cut.

    A row on which a decision stands has no values here: it is not in the quarantine.
    """

    source_row_id: str
    partition: str
    reasons: tuple[str, ...]
    values: dict[str, str]
    record: str | None


class Piece(JobModel):
    """A run that brought such rows, and the months concerned; none where the table is not cut."""

    source_run: RunKey
    partitions: Partitions


class Result(JobModel):
    """What was found, and in which version of the quarantine, or of `ops.decisions`; null without one.

    `groups` are the largest ones; `more_groups` are left out, and `more_rows` are rows in no group that is
    told. `examples` are some of the rows, of each reason. `refusal` says why the rows cannot all be accepted.
    """

    rows: int = 0
    version: int | None = None
    groups: tuple[Group, ...] = ()
    more_groups: int = 0
    more_rows: int = 0
    examples: tuple[Example, ...] = ()
    pieces: tuple[Piece, ...] = ()
    refusal: str | None = None


def run(spark: SparkSession, args: Args) -> Result:
    contract = Contract.from_dict(args.contract, origin="contract")
    table = TableRef(zone="silver", name=contract.dataset)
    withdraw = args.action == "withdraw"
    version = history.version(DECISIONS if withdraw else table.quarantine, args.lake_root)
    if version is None:
        return Result()
    search = standing if withdraw else quarantine.rows_at
    rows = search(spark, table, args.lake_root, version, args.reason, args.partition)
    groups, more = _groups(rows)
    pieces = _pieces(rows, contract)
    defined = table_of(contract.dataset, contract)
    return Result(
        rows=rows.count(),
        version=version,
        groups=groups,
        more_groups=more,
        more_rows=_rows_outside(rows, groups) if more else 0,
        examples=_examples(rows, defined.key),
        pieces=_as_published(pieces, table, args.lake_root, contract) if withdraw else pieces,
        refusal=None if withdraw else refusal(rows, defined),
    )


def _groups(rows: DataFrame) -> tuple[tuple[Group, ...], int]:
    """The largest groups, and the number of the others."""
    counted = (
        rows.select(F.col("_partition").alias("partition"), F.explode(REASONS).alias("reason"))
        .groupBy("partition", "reason")
        .agg(F.count(F.lit(1)).alias("rows"))
    )
    largest = counted.orderBy(F.desc("rows"), "partition", "reason").limit(MOST_GROUPS).collect()
    more = counted.count() - MOST_GROUPS if len(largest) == MOST_GROUPS else 0
    return tuple(Group(**row.asDict()) for row in largest), more


def _rows_outside(rows: DataFrame, groups: tuple[Group, ...]) -> int:
    """Rows that are in none of `groups`."""
    reasons_of: dict[str, list[str]] = {}
    for group in groups:
        reasons_of.setdefault(group.partition, []).append(group.reason)
    inside = [
        (F.col("_partition") == partition) & F.arrays_overlap(REASONS, F.array(*map(F.lit, reasons)))
        for partition, reasons in reasons_of.items()
    ]
    return rows.where(~F.coalesce(reduce(or_, inside), F.lit(False))).count()


def _examples(rows: DataFrame, key: tuple[str, ...]) -> tuple[Example, ...]:
    """As many rows as a person reads; of each first reason one before there is a second of any."""
    names = [name for name in rows.columns if not name.startswith("_")]
    names.sort(key=lambda name: name not in key)
    order = Window.partitionBy("_partition", F.col(REASONS)[0]).orderBy(SOURCE_ROW_ID)
    record = F.col("_source_record") if "_source_record" in rows.columns else F.lit(None).cast("string")
    chosen = (
        rows.withColumn("_rank", F.row_number().over(order))
        .orderBy("_rank", "_partition", SOURCE_ROW_ID)
        .limit(MOST_EXAMPLES)
        .select(
            SOURCE_ROW_ID,
            "_partition",
            F.transform(REASONS, lambda reason: _cut(reason, RECORD_LENGTH)).alias("reasons"),
            F.array(*(_cut(F.col(name).cast("string"), VALUE_LENGTH) for name in names)).alias("values"),
            _cut(record, RECORD_LENGTH).alias("record"),
        )
    )
    return tuple(
        Example(
            source_row_id=row[SOURCE_ROW_ID],
            partition=row["_partition"],
            reasons=tuple(row["reasons"]),
            values={
                name: value for name, value in zip(names, row["values"], strict=True) if value is not None
            },
            record=row["record"],
        )
        for row in chosen.collect()
    )


def _cut(text: Column, length: int) -> Column:
    return F.when(F.length(text) > length, F.concat(F.substring(text, 1, length), F.lit("…"))).otherwise(text)


def _pieces(rows: DataFrame, contract: Contract) -> tuple[Piece, ...]:
    months_by_run = (
        rows.groupBy("_run").agg(F.collect_set("_partition").alias("months")).orderBy("_run").collect()
    )
    return tuple(
        Piece(source_run=row["_run"], partitions=tuple(sorted(row["months"])) if contract.partition else ())
        for row in months_by_run
    )


def _as_published(
    pieces: tuple[Piece, ...], table: TableRef, lake_root: str, contract: Contract
) -> tuple[Piece, ...]:
    """The same partitions by the runs that published them last: a decision is carried out by whoever brings
    the row again, and only the last one's rows can be put in the place of the table's."""
    if contract.load in INCREMENTS:
        return pieces
    newest = history.read(table, lake_root).latest_by_partition()
    names_by_run: defaultdict[str, set[str]] = defaultdict(set)
    for piece in pieces:
        for name in piece.partitions or (WHOLE,):
            names_by_run[newest[name][0].run if name in newest else piece.source_run].add(name)
    return tuple(
        Piece(source_run=run, partitions=tuple(sorted(names)) if contract.partition else ())
        for run, names in sorted(names_by_run.items())
    )
