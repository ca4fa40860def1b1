"""Staged to published: good rows to the table, broken ones to its quarantine, the account into the commit.

Nothing is published without a verdict on exactly this staged version, and nothing unless every row that was
read is accounted for. What a person decided about a broken row (`millstream.publishing.decisions`) is
carried out here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import Field, model_validator
from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import AtomicType, StringType, StructField, StructType

from millstream.bronze.loads import received_rows
from millstream.bronze.typed import source_record
from millstream.contracts.contract import Contract
from millstream.contracts.drift import Change
from millstream.errors import ConservationError, QualityGateError, SupersededError
from millstream.jobs import JobModel
from millstream.lake import checks, history
from millstream.lake.accounts import Account, PartitionCounts
from millstream.lake.delta import (
    TableDefinition,
    Transaction,
    create_table,
    literal,
    merge,
    replace,
    require_columns,
    require_types,
    require_writer,
    table_version,
    turn,
)
from millstream.lake.history import Accounts
from millstream.lake.staging import SOURCE_ROW_ID, WHOLE, read_staged
from millstream.lake.storage import Storage
from millstream.lake.tables import TableRef
from millstream.landing.manifest import read_manifest
from millstream.publishing import quarantine
from millstream.publishing.decisions import DECISIONS
from millstream.publishing.fate import (
    FATE,
    is_dropped,
    is_published,
    is_quarantined,
    judged,
    with_fate,
    without_outdated,
)
from millstream.quality.predicates import MALFORMED, REASONS
from millstream.quality.suite import Suite
from millstream.quality.verdict import Verdict, verdict_path
from millstream.transforms import transform_of

# The fates that are counts of the account by their own name; `written` has the accepted rows too.
COUNTED = ("accepted", "quarantined", "deduplicated", "dropped")
Load = Literal["full", "partition", "watermark"]


class Args(JobModel):
    """What to publish and under which account.

    `sequence` orders the attempts of one scope: of two that publish the same partitions the higher one
    stays. Runs of different ranges are ordered by when they began to fetch.
    `rows_read` is what the transform counted. `partitions` are those of the run, empty for a whole table.
    `contract` is a dataset's; by it broken rows are kept as received. `drift` is what the transform found
    changed at its source, `fetch_began` when the run began to fetch what was staged. A replay publishes what
    `run` landed once more; `replay` is the run that does it.
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
    fetch_began: datetime | None = None
    replay: str | None = None

    @model_validator(mode="after")
    def _replaces_what_it_loads(self) -> Self:
        if self.load == "partition" and not (self.partitions and self.partition_column):
            raise ValueError(
                "load 'partition' needs partitions and a partition_column: without, all is replaced"
            )
        if self.load != "partition" and self.partitions:
            raise ValueError(f"load {self.load!r} has no partitions, found {', '.join(self.partitions)}")
        return self


class Result(JobModel):
    """The published version and the run's account; not `changed` when the table had these rows already.

    `superseded` are the run's partitions that another run has published from newer data: left as they are,
    and in none of the counts.
    """

    table: str
    version: int
    changed: bool
    read: int
    written: int
    quarantined: int
    deduplicated: int
    dropped: int
    accepted: int
    partitions: tuple[str, ...]
    superseded: tuple[str, ...]
    verdict: dict[str, Any]


def run(spark: SparkSession, args: Args) -> Result:
    require_writer(spark, args.lake_root)
    table = TableRef.parse(args.table)
    verdict = _passed(args)
    with turn(table, args.lake_root):
        return _publish(spark, table, args, verdict)


def _publish(spark: SparkSession, table: TableRef, args: Args, verdict: Verdict) -> Result:
    args = _in_turn(table, args)
    suite = Suite.from_dict(args.suite, verdict.parameters)
    staged = judged(read_staged(spark, args.staged_uri, args.staged_version), suite, verdict)
    if args.load == "watermark":
        staged = without_outdated(spark, staged, table, args.lake_root, args.run)
    decisions = history.version(DECISIONS, args.lake_root)
    staged = with_fate(spark, staged, table, args.lake_root, decisions)
    columns = _published_columns(table)
    require_columns(table.uri(args.lake_root), columns, history.snapshot(table.uri(args.lake_root)))
    require_types(staged, columns, table.name)
    module = transform_of(table.name)
    checks.require_readable(staged, module.CHECKS, table.name)
    entry, broken, landed, unfit = _account(staged, columns, args, verdict, decisions)
    if unfit:
        good = staged.where(is_published())
        error = checks.broken(good, module.CHECKS, module.KEY, table.name, f"{table}, run {args.run}")
        assert error is not None
        raise error
    entry.check_conservation(args.rows_read)
    _agree_with_gate(broken, verdict)
    if args.replay:
        _require_source_unchanged(entry, table, args)
    superseded = _superseded(entry, table, args)
    if superseded:
        staged, entry, args = _without(superseded, staged, entry, args)

    changed = _differs(entry, table, args) and _adds_anything(spark, staged, table, args, entry)
    with _checks_applied(spark, staged, table, args, changed):
        if changed:
            _publish_quarantine(spark, staged, table, columns, args, entry, landed)
            _publish_rows(spark, staged, table, columns, args, entry)
        # Constraints that come now make a version that is no news.
        version = table_version(table.uri(args.lake_root))
    return Result(
        table=args.table,
        version=version,
        changed=changed,
        read=entry.read,
        written=entry.written,
        quarantined=entry.quarantined,
        deduplicated=entry.deduplicated,
        dropped=entry.dropped,
        accepted=entry.accepted,
        partitions=tuple(sorted(entry.partitions)),
        superseded=superseded,
        verdict=entry.verdict,
    )


def _in_turn(table: TableRef, args: Args) -> Args:
    """Behind what other runs have published since this attempt began; whether theirs is newer is another
    question (`_superseded`, `_require_source_unchanged`).

    A later attempt of the same run stays ahead: this one was taken for dead.
    """
    ahead = [
        one for one in history.read_both(table, args.lake_root).committed if one.sequence >= args.sequence
    ]
    if not ahead or any((one.run, one.replay) == (args.run, args.replay) for one in ahead):
        return args
    return args.model_copy(update={"sequence": max(one.sequence for one in ahead) + 1})


def _passed(args: Args) -> Verdict:
    """The verdict. Raises QualityGateError unless it allows to publish exactly this staged version."""
    storage = Storage(args.lake_root)
    path = verdict_path(args.staged_uri, args.lake_root)
    if not storage.exists(path):
        raise QualityGateError(
            f"{args.table}: there is no verdict on run {args.run}, so nothing is published. What to do: "
            "clear the quality_gate task"
        )
    verdict = Verdict.model_validate_json(storage.read(path))
    if verdict.table != args.table or verdict.staged_version != args.staged_version:
        raise QualityGateError(
            f"{args.table}: the verdict is on {verdict.table} version {verdict.staged_version}, not on "
            f"staged version {args.staged_version}. What to do: clear the quality_gate task"
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


def _account(
    staged: DataFrame, columns: StructType, args: Args, verdict: Verdict, decisions: int | None
) -> tuple[Account, int, frozenset[str], int]:
    """All that publishing wants to know of the staged rows, in one aggregation over them.

    The account: counts and content hashes per partition. How many rows broke a critical rule, whatever became
    of them. The landed files that quarantined rows came from. How many rows to be published break a CHECK.
    """
    module = transform_of(TableRef.parse(args.table).name)
    reasons_hash = F.xxhash64(SOURCE_ROW_ID, F.col("_reasons"))
    counted = (
        # A file a group, and no set of files in each: Spark aggregates sets object by object.
        staged.groupBy("_partition", F.when(is_quarantined(), _landed_file()).alias("landed"))
        .agg(
            F.count(F.lit(1)).alias("read"),
            F.count_if(is_published()).alias("written"),
            *(F.count_if(F.col(FATE) == fate).alias(fate) for fate in COUNTED),
            F.count_if(F.size(REASONS) > 0).alias("broken"),
            F.count_if(is_published() & checks.breaks_any(module.CHECKS)).alias("unfit"),
            *_exact_sum("content_hash", F.when(is_published(), row_hash(columns))),
            *_exact_sum("quarantine_hash", F.when(is_quarantined(), reasons_hash)),
        )
        .collect()
    )
    found = {
        partition: _partition_counts([row for row in counted if row["_partition"] == partition])
        for partition in {row["_partition"] for row in counted}
    }
    empty = PartitionCounts(read=0, written=0, quarantined=0, deduplicated=0, content_hash="0")
    expected = args.partitions or (() if found else (WHOLE,))
    entry = Account(
        table=args.table,
        run=args.run,
        partitions={name: found.get(name, empty) for name in sorted({*expected, *found})},
        verdict=_summary(verdict),
        inputs=args.inputs if decisions is None else {**args.inputs, str(DECISIONS): decisions},
        contract_version=args.contract_version,
        suite_version=verdict.suite_version,
        code_version=args.code_version,
        watermark=args.watermark,
        fetch_began=_fetch_began(args),
        contract=Contract.from_dict(args.contract, "contract").schema_in_short() if args.contract else None,
        drift=args.drift,
        replay=args.replay,
        sequence=args.sequence,
    )
    landed = frozenset(row["landed"] for row in counted if row["landed"] is not None)
    broken, unfit = (sum(row[name] for row in counted) for name in ("broken", "unfit"))
    return entry, broken, landed, unfit


def _partition_counts(rows: list[Row]) -> PartitionCounts:
    """The sums over the groups of one partition."""
    names = ("read", "written", *COUNTED)
    hashes = ("content_hash", "quarantine_hash")
    return PartitionCounts(
        **{name: sum(row[name] for row in rows) for name in names},
        **{
            name: str(sum(((row[f"{name}_high"] or 0) << 32) + (row[f"{name}_low"] or 0) for row in rows))
            for name in hashes
        },
    )


def _exact_sum(name: str, hashes: Column) -> tuple[Column, Column]:
    """The sum of 64-bit hashes as that of their halves, which does not overflow; decimals are slow."""
    high, low = F.shiftright(hashes, 32), hashes.bitwiseAND(F.lit(0xFFFFFFFF))
    return F.sum(high).alias(f"{name}_high"), F.sum(low).alias(f"{name}_low")


def _landed_file() -> Column:
    return F.substring_index(SOURCE_ROW_ID, "#", 1)


def row_hash(columns: StructType) -> Column:
    """64 bits of a row's values.

    Nulls and the order of columns must tell, and xxhash64 skips nulls: which they are is hashed too. Those in
    arrays and the like it would skip unseen, so these are hashed as text.
    """
    values = [
        F.col(column.name) if isinstance(column.dataType, AtomicType) else F.col(column.name).cast("string")
        for column in columns.fields
    ]
    nulls = [F.col(column.name).isNull() for column in columns.fields if column.nullable]
    return F.xxhash64(*values, *nulls)


def _summary(verdict: Verdict) -> dict[str, Any]:
    return {
        "passed": verdict.passed,
        "word": verdict.word,
        "reason": verdict.reason,
        "suite": verdict.suite,
        "docs_page": verdict.docs_page,
        "warnings": [
            {"label": rule.label, "share": rule.share, "success": rule.success, "word": rule.word}
            for rule in verdict.warnings
        ],
    }


def _agree_with_gate(broken: int, verdict: Verdict) -> None:
    if broken != verdict.quarantined_rows:
        raise QualityGateError(
            f"{verdict.table}: the gate counted {verdict.quarantined_rows} rows for quarantine, publishing "
            f"{broken}: the staged table or the suite is not the one that was judged. "
            "Nothing was published. What to do: clear quality_gate"
        )


def _fetch_began(args: Args) -> datetime | None:
    """When the run began to fetch what it landed; None for what is made of tables."""
    if args.contract is None:
        return None
    # What an earlier version has staged does not say.
    return (
        args.fetch_began
        or read_manifest(Storage(args.lake_root), TableRef.parse(args.table).name, args.run).fetch_began
    )


def _superseded(entry: Account, table: TableRef, args: Args) -> tuple[str, ...]:
    """The partitions that another run has published from newer data.

    A slow backfill must not bring back what a quicker run has replaced meanwhile, nor a cleared publish what
    was made of older tables. Increments are merged row by row, with the newer row kept.

    Raises: SupersededError when nothing of the run is left to publish.
    """
    if args.load == "watermark":
        return ()
    published = history.read(table, args.lake_root).latest_by_partition()
    newer = {
        name: published[name][0]
        for name in entry.partitions
        if name in published and is_newer(published[name][0], entry, args.lake_root)
    }
    # What replaces the whole table is not published in part.
    if newer and (args.load == "full" or len(newer) == len(entry.partitions)):
        runs = ", ".join(sorted({had.run for had in newer.values()}))
        ours, advice = (
            (f"began to fetch at {entry.fetch_began:%Y-%m-%d %H:%M:%S} UTC", "nothing")
            if entry.fetch_began
            else (
                "made of earlier versions of its tables",
                "to make it of the present ones, clear its first task",
            )
        )
        raise SupersededError(
            f"{table}: what run {args.run} {ours} is older than what is published already, by {runs}: "
            f"nothing was published. What to do: {advice}"
        )
    return tuple(sorted(newer))


def is_newer(had: Account, entry: Account, lake_root: str) -> bool:
    """Whether what another run has published is of newer data: fetched later, or made of later tables."""
    if had.run == entry.run:
        return False
    if had.fetch_began is not None and entry.fetch_began is not None:
        return had.fetch_began > entry.fetch_began
    if had.fetch_began is not None or entry.fetch_began is not None:
        return False
    theirs, ours = _tables(had), _tables(entry)
    if theirs.keys() != ours.keys():
        return False
    later = [name for name in ours if theirs[name] > ours[name]]
    # Neither is newer when each has a later table. A version that a table does not have yet was that of
    # another table in its place.
    return bool(later) and all(
        ours[name] <= theirs[name] <= (history.version(TableRef.parse(name), lake_root) or 0) for name in ours
    )


def _tables(entry: Account) -> dict[str, int]:
    """The tables that the rows were made of. A model's versions do not tell which is newer: its alias may go
    back. Decisions are read when the rows are published."""
    return {
        name: version
        for name, version in entry.inputs.items()
        if not name.startswith("model.") and name != str(DECISIONS)
    }


def _without(
    partitions: tuple[str, ...], staged: DataFrame, entry: Account, args: Args
) -> tuple[DataFrame, Account, Args]:
    """The rest of the run."""
    rest = {name: counts for name, counts in entry.partitions.items() if name not in partitions}
    return (
        staged.where(~F.col("_partition").isin(*partitions)),
        entry.model_copy(update={"partitions": rest}),
        args.model_copy(update={"partitions": tuple(rest)}),
    )


def _own_accounts(table: TableRef, args: Args) -> Accounts:
    """The accounts of what this run can have published before: by partition, or of its own increment."""
    run = args.run if args.load == "watermark" else None
    return history.read(table, args.lake_root).latest_by_partition(run)


def _require_source_unchanged(entry: Account, table: TableRef, args: Args) -> None:
    """A replay puts the same source rows in the place of its run's own, of nobody else's.

    Raises: SupersededError when another run has published the partitions meanwhile; ConservationError when
    the lake no longer has all rows that the run had read.
    """
    published = _own_accounts(table, args)
    for name, counts in entry.partitions.items():
        earlier, had = published.get(name, (None, None))
        if earlier is None or had is None or earlier.run != args.run:
            raise SupersededError(
                f"{table}, {name}: run {args.run} is not, or no longer, the one that published it: nothing "
                "was replayed. What to do: look for what is in quarantine now"
            )
        if earlier.fetch_began and entry.fetch_began and earlier.fetch_began > entry.fetch_began:
            raise SupersededError(
                f"{table}, {name}: run {args.run} has landed and published anew since this replay read what "
                "it had landed: nothing was replayed. What to do: look for what is in quarantine now"
            )
        if had.read != counts.read:
            raise ConservationError(
                f"{table}, {name}: run {args.run} had read {had.read} rows, the lake now has {counts.read} "
                "of them: nothing was replayed. What to do: run the ingest again"
            )


def _differs(entry: Account, table: TableRef, args: Args) -> bool:
    """Whether publishing would change anything: the accounts of the same partitions decide, the table's and
    its quarantine's. A publish may have ended between its two commits."""
    both = (table, table.quarantine)
    published, kept = (_own_accounts(one, args) for one in both)
    if not published:
        # What an increment brings may have come with another one already.
        published, kept = (history.read(one, args.lake_root).latest_by_partition() for one in both)
    if args.load == "full" and not (published.keys() | kept.keys()) <= entry.partitions.keys():
        # What the whole table had of a month that is no more.
        return True
    if args.load == "full" and any(had.scope == "rows" for had, _ in published.values()):
        # The newest increment's account says nothing of the rows of those before.
        return True
    return not all(
        _same(entry, counts, published.get(name)) and _same_quarantine(counts, kept.get(name))
        for name, counts in entry.partitions.items()
    )


def _same(
    entry: Account,
    counts: PartitionCounts,
    published: tuple[Account, PartitionCounts] | None,
) -> bool:
    if published is None:
        return False
    earlier, had = published
    return (
        had == counts
        and earlier.suite_version == entry.suite_version
        and earlier.contract_version == entry.contract_version
        and earlier.drift == entry.drift
        # A replay tells nothing of how far the source has been read.
        and entry.watermark in (None, earlier.watermark)
    )


def _same_quarantine(counts: PartitionCounts, kept: tuple[Account, PartitionCounts] | None) -> bool:
    had = kept[1] if kept else None
    if had is None:
        # There is none before the first row for it.
        return counts.quarantined == 0
    return (had.quarantined, had.quarantine_hash) == (counts.quarantined, counts.quarantine_hash)


def _adds_anything(
    spark: SparkSession, staged: DataFrame, table: TableRef, args: Args, entry: Account
) -> bool:
    """False when the table has every row of an increment already.

    Watermarks are inclusive, so that no row with the last timestamp is missed: each increment brings back
    the rows at the boundary, and these must not make a new version of the table.
    """
    if (
        args.load != "watermark"
        or entry.quarantined
        or _own_accounts(table, args)
        or history.version(table, args.lake_root) is None
    ):
        return True
    columns = [name for name in _published_columns(table).fieldNames() if name != SOURCE_ROW_ID]
    good = staged.where(is_published()).select(*columns)
    present = _present(spark, table, args).select(*columns)
    return not good.exceptAll(present).isEmpty()


def _present(spark: SparkSession, table: TableRef, args: Args) -> DataFrame:
    """The table's rows; columns that its transform has now and the table does not have yet are null."""
    rows = spark.read.format("delta").load(table.uri(args.lake_root))
    more = [column for column in _published_columns(table).fields if column.name not in rows.columns]
    return rows.withColumns({column.name: F.lit(None).cast(column.dataType) for column in more})


def _commit(args: Args, table: TableRef, entry: Account) -> Transaction:
    scope = ",".join(args.partitions) or WHOLE
    return Transaction(
        writer=f"millstream:{table}:{scope}", sequence=args.sequence, metadata=entry.model_dump_json()
    )


def _condition(args: Args, column: str) -> str | None:
    if not args.partitions:
        return None
    return f"{column} IN ({', '.join(literal(name) for name in args.partitions)})"


@contextmanager
def _checks_applied(
    spark: SparkSession, staged: DataFrame, table: TableRef, args: Args, changed: bool
) -> Iterator[None]:
    """The table's constraints as the transform's CHECKS are now, before and after the rows are published.

    Where the checks have changed, the rows that stay are looked at first.
    Raises: TransformError when some break a check; nothing has changed then.
    """
    module, uri = transform_of(table.name), table.uri(args.lake_root)
    present = history.snapshot(uri)
    outdated = present is not None and checks.differ(present.properties, module.CHECKS)
    if present is not None and outdated:
        staying = _staying(spark, staged, table, args, changed)
        if error := checks.broken(
            staying, module.CHECKS, module.KEY, table.name, f"{table}, published already"
        ):
            raise error
        checks.drop_outdated(spark, uri, present.properties, module.CHECKS)
    yield
    if outdated:
        # A check may be on a column that is as new as it is, without a row that has a value there.
        _define(spark, table, args)
        now = history.snapshot(uri)
        checks.add_missing(spark, uri, now.properties if now else {}, module.CHECKS)


def _staying(spark: SparkSession, staged: DataFrame, table: TableRef, args: Args, changed: bool) -> DataFrame:
    """The rows of the table that publishing leaves as they are."""
    present = _present(spark, table, args)
    if not changed:
        return present
    if args.load == "watermark":
        key = list(transform_of(table.name).KEY)
        return present.join(staged.where(is_published()).select(*key), key, "left_anti")
    condition = _condition(args, args.partition_column or "")
    return present.where(f"NOT ({condition})" if condition else "false")


def _define(spark: SparkSession, table: TableRef, args: Args) -> None:
    """Creates the table, or gives it the columns that it lacks."""
    module = transform_of(table.name)
    create_table(
        spark,
        table.uri(args.lake_root),
        TableDefinition(
            _published_columns(table),
            (module.__doc__ or "").split("\n")[0],
            (args.partition_column,) if args.partition_column else (),
            checks.constraints(module.CHECKS),
        ),
        history.snapshot(table.uri(args.lake_root)),
    )


def _publish_rows(
    spark: SparkSession,
    staged: DataFrame,
    table: TableRef,
    columns: StructType,
    args: Args,
    entry: Account,
) -> None:
    uri = table.uri(args.lake_root)
    module = transform_of(table.name)
    _define(spark, table, args)
    commit = _commit(args, table, entry)
    # Into a table that has nothing yet, a merge would be a dear way to write.
    if args.load == "watermark" and history.read(table, args.lake_root).published_version is not None:
        differ = " OR ".join(
            f"NOT (old.`{name}` <=> new.`{name}`)" for name in columns.fieldNames() if name != SOURCE_ROW_ID
        )
        # What the run had published and may publish no longer goes; what others published stays.
        rows = staged.where(is_published() | is_quarantined() | is_dropped())
        merge(
            rows.select(*columns.fieldNames(), is_published().alias("_keep")),
            uri,
            module.KEY,
            changed=f"({differ})",
            withdrawn=f"old.{SOURCE_ROW_ID} = new.{SOURCE_ROW_ID}",
            transaction=commit,
        )
    else:
        good = staged.where(is_published()).select(*columns.fieldNames())
        replace(good, uri, _condition(args, args.partition_column or ""), commit)


def _publish_quarantine(
    spark: SparkSession,
    staged: DataFrame,
    table: TableRef,
    columns: StructType,
    args: Args,
    entry: Account,
    landed: frozenset[str],
) -> None:
    """Broken rows, with their reasons; a rerun whose rows are good again empties what it had put there."""
    uri = table.quarantine.uri(args.lake_root)
    if entry.quarantined == 0 and history.version(table.quarantine, args.lake_root) is None:
        return
    broken = staged.where(is_quarantined())
    if args.contract is not None and entry.quarantined:
        contract = Contract.from_dict(args.contract, origin="contract")
        broken = _as_received(spark, broken, contract, args, landed)
    broken = broken.select(
        *columns.fieldNames(),
        F.col(REASONS),
        F.col(MALFORMED),
        F.col("_source_record"),
        F.col("_partition"),
        F.lit(args.run).alias("_run"),
        F.lit(args.contract_version).cast("int").alias("_contract_version"),
        F.lit(entry.suite_version).alias("_suite_version"),
    )
    create_table(spark, uri, quarantine.definition(table, columns), history.snapshot(uri))
    condition = _of_increment(args) if args.load == "watermark" else _condition(args, "_partition")
    replace(broken, uri, condition, _commit(args, table.quarantine, entry), more_columns=True)


def _of_increment(args: Args) -> str:
    """SQL that holds for what the quarantine has of this run, and of the same landed files by another run:
    a full refresh finds unchanged pages that an increment has landed already."""
    condition = f"_run = {literal(args.run)}"
    if args.contract is None:
        return condition
    dataset = TableRef.parse(args.table).name
    paths = read_manifest(Storage(args.lake_root), dataset, args.run).paths
    files = ", ".join(map(literal, paths))
    return f"{condition} OR substring_index({SOURCE_ROW_ID}, '#', 1) IN ({files})" if paths else condition


def _as_received(
    spark: SparkSession, broken: DataFrame, contract: Contract, args: Args, landed: frozenset[str]
) -> DataFrame:
    """The broken rows with their `_source_record`, read again from the `landed` files that they came from:
    only unreadable ones are staged with it."""
    manifest = read_manifest(Storage(args.lake_root), contract.dataset, args.run)
    files = tuple(file for file in manifest.files if file.path in landed)
    rows = received_rows(spark, contract, args.lake_root, manifest.model_copy(update={"files": files}))
    records = rows.select(
        F.concat_ws("#", "_source_file", "_source_row").alias(SOURCE_ROW_ID),
        source_record(contract).alias("_record"),
    ).join(broken.select(SOURCE_ROW_ID), SOURCE_ROW_ID, "left_semi")
    lost = F.concat(
        F.lit(f"{contract.dataset}: neither landing nor bronze has the row any more, run the ingest again: "),
        F.col(SOURCE_ROW_ID),
    )
    return (
        broken.join(records, SOURCE_ROW_ID, "left")
        .withColumn("_source_record", F.coalesce("_source_record", "_record", F.raise_error(lost)))
        .drop("_record")
    )
