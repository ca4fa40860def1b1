"""Staged to published: good rows to the table, broken ones to its quarantine, the account into the commit.

Nothing is published without a verdict on exactly this staged version, and nothing unless every row that was
read is accounted for. What a person decided about a broken row (`millstream.publishing.decisions`) is
carried out here.

The lake is looked at once (`publishing.state`) and the rows are counted once (`publishing.counts`); from that
it is decided what to write (`publishing.decide`), and that is carried out (`publishing.write`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

from pydantic import model_validator
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from millstream.contracts.contract import Contract
from millstream.jobs import JobModel, StagedArgs
from millstream.lake import checks
from millstream.lake.delta import require_columns, require_types, require_writer, turn
from millstream.lake.names import Partitions, TableName
from millstream.lake.source_rows import among
from millstream.lake.staging import read_staged
from millstream.lake.storage import Storage
from millstream.lake.tables import TableRef
from millstream.marts import Mart
from millstream.publishing.counts import Counted, count
from millstream.publishing.decide import decide, require_passed
from millstream.publishing.decisions import newest
from millstream.publishing.deletions import Deletions, leaving
from millstream.publishing.fate import is_published, judged, with_fate, without_outdated
from millstream.publishing.mart_tables import (
    definition,
    has_other_columns,
    require_months,
    require_same_columns,
)
from millstream.publishing.precedence import in_turn
from millstream.publishing.request import Request
from millstream.publishing.state import LakeState, look
from millstream.publishing.versions import with_fit
from millstream.publishing.work import Work, published_columns
from millstream.publishing.write import carry_out
from millstream.quality.suite import Suite
from millstream.quality.verdict import Verdict, verdict_path
from millstream.transforms import Table, table_of


class Args(StagedArgs, Request):
    """A request, where its rows are staged, and the suite that they were judged by; of a mart its `Mart`."""

    suite: dict[str, Any]
    mart: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _months_of_a_mart_have_a_rest(self) -> Self:
        if self.mart is not None and self.partitions and self.rest is None:
            raise ValueError("months of a mart need rest: of which versions its other months are")
        return self


class Result(JobModel):
    """The published version and the run's account; not `changed` when the table had these rows already.

    `superseded` are the run's partitions that another run has published from newer data: left as they are,
    and in none of the counts.
    """

    table: TableName
    version: int
    changed: bool
    read: int
    written: int
    quarantined: int
    deduplicated: int
    dropped: int
    tombstones: int
    deleted: int
    accepted: int
    partitions: Partitions
    superseded: tuple[str, ...]
    verdict: dict[str, Any]


def run(spark: SparkSession, args: Args) -> Result:
    require_writer(spark, args.lake_root)
    verdict = require_passed(args.table, args.staged_version, args.run, _verdict(args))
    with turn(TableRef.parse(args.table), args.lake_root):
        state = look(args, args.lake_root)
        args = in_turn(args, state.histories)
        table = _table(spark, args)
        rows = _with_fate(spark, args, table, verdict, state)
        counted = _count(rows, args, table, state)
        gone = leaving(spark, args, table, rows, state, args.lake_root)
        deletions = _deletions(spark, args, gone)
        if table.mart and args.partition_column is not None:
            require_months(table, args.partition_column, counted.partitions)
        if table.mart and args.partitions:
            require_same_columns(table, state.histories.table.now)
        publication = decide(args, counted.partitions, counted.broken, verdict, state, deletions)
        if table.mart and has_other_columns(table, state.histories.table.now):
            publication = replace(publication, changed=True)
        work = Work(spark, args.lake_root, table, publication, state, rows, counted.landed, gone)
        version, changed = carry_out(work)
    account = publication.account
    return Result(
        table=args.table,
        version=version,
        changed=changed,
        read=account.read,
        written=account.written,
        quarantined=account.quarantined,
        deduplicated=account.deduplicated,
        dropped=account.dropped,
        tombstones=account.tombstones,
        deleted=account.deleted,
        accepted=account.accepted,
        partitions=tuple(sorted(account.partitions)),
        superseded=publication.superseded,
        verdict=account.verdict,
    )


def _verdict(args: Args) -> Verdict | None:
    storage, path = Storage(args.lake_root), verdict_path(args.staged_uri, args.lake_root)
    return Verdict.model_validate_json(storage.read(path)) if storage.exists(path) else None


def _table(spark: SparkSession, args: Args) -> Table:
    if args.mart is not None:
        staged = read_staged(spark, args.staged_uri, args.staged_version)
        return definition(Mart.model_validate(args.mart), staged.schema)
    contract = Contract.from_dict(args.contract, origin="contract") if args.contract else None
    return table_of(TableRef.parse(args.table).name, contract)


def _with_fate(
    spark: SparkSession, args: Args, table: Table, verdict: Verdict, state: LakeState
) -> DataFrame:
    """The staged rows, and what becomes of each."""
    place = TableRef.parse(args.table)
    suite = Suite.from_dict(args.suite, verdict.parameters)
    rows = judged(read_staged(spark, args.staged_uri, args.staged_version), suite, verdict)
    if table.history:
        rows = with_fit(rows, suite)
    compared = args.is_increment and (state.later or table.latest_by or args.load == "append")
    if compared and state.manifest is not None and state.histories.table.version is not None:
        past = state.past is not None and state.past.version is not None
        published = spark.read.format("delta").load((place.history if past else place).uri(args.lake_root))
        own = (*state.manifest.paths, *state.manifest.replaced)
        stands = F.lit(True) if args.load == "append" else among(state.later)
        rows = without_outdated(rows, published, table, own, stands)
    decided = None if state.decisions is None else newest(spark, place, args.lake_root, state.decisions)
    return with_fate(rows, table, decided)


def _deletions(spark: SparkSession, args: Args, gone: DataFrame | None) -> Deletions:
    """The rows that leave the table, counted."""
    if gone is None:
        return Deletions()
    counts = {row["_partition"]: row["count"] for row in gone.groupBy("_partition").count().collect()}
    if not counts:
        return Deletions()
    present = spark.read.format("delta").load(TableRef.parse(args.table).uri(args.lake_root))
    return Deletions(counts, present.count())


def _count(rows: DataFrame, args: Args, table: Table, state: LakeState) -> Counted:
    """The rows counted. Raises ContractError or TransformError when they do not fit into the table."""
    place, columns = TableRef.parse(args.table), published_columns(table)
    if not table.mart and not args.rebuild:
        require_columns(place.uri(args.lake_root), columns, state.histories.table.now)
    require_types(rows, columns, table.name)
    checks.require_readable(rows, table.checks, table.file)
    counted = count(rows, columns, table.checks)
    if counted.unfit:
        good = rows.where(is_published())
        error = checks.broken(good, table.checks, table.key, table.file, f"{place}, run {args.run}")
        assert error is not None
        raise error
    return counted
