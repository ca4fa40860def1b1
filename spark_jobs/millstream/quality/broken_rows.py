"""The first rows that stopped a table, with their origin, for messages and pages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from millstream.bronze.parts import parts_with
from millstream.bronze.rows import read_landing
from millstream.bronze.typed import source_record
from millstream.contracts.contract import Contract
from millstream.lake.source_rows import file_order, place_of, row_id
from millstream.lake.staging import DEFAULTS, SOURCE_ROW_ID
from millstream.lake.storage import Storage
from millstream.landing.manifest import manifests_of
from millstream.quality.predicates import MALFORMED, breaks, readable
from millstream.quality.suite import Suite
from millstream.quality.verdict import BrokenRow, RuleVerdict, Verdict

# By the rule's index; what cannot be read has none.
Rows = dict[int | None, list[BrokenRow]]
SHOWN_ROWS = 20
SHOWN_CHARACTERS = 300


def with_broken_rows(verdict: Verdict, frame: DataFrame, suite: Suite) -> Verdict:
    """The verdict on `frame` with up to `SHOWN_ROWS` rows of each row-level rule that blocks, the first in
    file order. One action."""
    blocking = [rule for rule in verdict.blocking if rule.level == "row" and rule.broken]
    if not blocking:
        return verdict
    rows = _collected(frame, suite, blocking)
    return _with_rows(verdict, {rule.index: rows[rule.index] for rule in blocking})


def with_source_records(spark: SparkSession, verdict: Verdict, contract: Contract, lake_root: str) -> Verdict:
    """The verdict with the shown rows' records as received, as far as the landed files still exist.

    Only unreadable rows are staged with their records. One action.
    """
    lacking = {row.source_row_id for rule in verdict.blocking for row in rule.rows if row.record is None}
    records = _received(spark, contract, lake_root, {name for name in lacking if name})
    return _with_rows(
        verdict,
        {
            rule.index: [
                row.model_copy(update={"record": row.record or records.get(row.source_row_id or "")})
                for row in rule.rows
            ]
            for rule in verdict.blocking
        },
    )


def _with_rows(verdict: Verdict, rows: Rows) -> Verdict:
    rules = [
        rule.model_copy(update={"rows": tuple(rows.get(rule.index, rule.rows))}) for rule in verdict.rules
    ]
    return verdict.model_copy(update={"rules": rules})


def _collected(frame: DataFrame, suite: Suite, blocking: Sequence[RuleVerdict]) -> Rows:
    missing = {
        name: F.expr(DEFAULTS.get(name, "CAST(null AS string)"))
        for name in (SOURCE_ROW_ID, "_source_record", MALFORMED)
        if name not in frame.columns
    }
    complete = frame.withColumns(missing) if missing else frame
    chosen = [_broken_by(rule.index, complete, suite) for rule in blocking]
    by_rule: defaultdict[int | None, list[BrokenRow]] = defaultdict(list)
    for row in reduce(DataFrame.union, chosen).collect():
        by_rule[row["rule"]].append(
            BrokenRow(source_row_id=row[SOURCE_ROW_ID], values=row["values"], record=row["record"])
        )
    return by_rule


def _broken_by(index: int | None, frame: DataFrame, suite: Suite) -> DataFrame:
    """Rows that break the rule `index`, or that cannot be read."""
    if index is None:
        broken, values = ~readable(frame), F.array_join(MALFORMED, "; ")
    else:
        rule = suite.rules[index]
        broken = breaks(rule, readable(frame))
        values = F.to_json(F.struct(*dict.fromkeys(rule.columns)), {"ignoreNullFields": "false"})
    # Where values must be unique the condition has a window, which no filter takes.
    return (
        frame.withColumn("_breaks", broken)
        .where("_breaks")
        .orderBy(*file_order())
        .limit(SHOWN_ROWS)
        .select(
            F.lit(index).cast("int").alias("rule"),
            SOURCE_ROW_ID,
            _cut(values).alias("values"),
            _cut(F.col("_source_record")).alias("record"),
        )
    )


def _received(
    spark: SparkSession, contract: Contract, lake_root: str, row_ids: Iterable[str]
) -> dict[str, str]:
    storage = Storage(lake_root)
    wanted = sorted(row_ids)
    places = [(path, int(number)) for path, number in map(place_of, wanted) if path]
    landed = {
        file.path: file for manifest in manifests_of(storage, contract.dataset) for file in manifest.files
    }
    kept = [landed[path] for path in {path for path, _ in places} & {*landed} if storage.exists(path)]
    if not kept:
        return {}
    rows = (
        read_landing(spark, contract, lake_root, parts_with(places, kept))
        .withColumn(SOURCE_ROW_ID, row_id())
        .where(F.col(SOURCE_ROW_ID).isin(wanted))
        .select(SOURCE_ROW_ID, _cut(source_record(contract)).alias("record"))
    )
    return {row[SOURCE_ROW_ID]: row["record"] for row in rows.collect()}


def _cut(text: Column) -> Column:
    return F.when(F.length(text) <= SHOWN_CHARACTERS, text).otherwise(
        F.concat(F.substring(text, 1, SHOWN_CHARACTERS), F.lit("…"))
    )
