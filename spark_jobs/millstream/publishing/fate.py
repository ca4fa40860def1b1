"""What becomes of each staged row: published, kept in quarantine, or left out, and on whose word."""

from __future__ import annotations

from collections.abc import Collection

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from millstream.lake.source_rows import file_of
from millstream.lake.staging import SOURCE_ROW_ID
from millstream.publishing.decisions import DECIDED_ON, DECISION, accepted
from millstream.quality.predicates import REASONS, split
from millstream.quality.suite import Suite
from millstream.quality.verdict import Verdict
from millstream.transforms import Table

FATE = "_fate"


def judged(staged: DataFrame, suite: Suite, verdict: Verdict) -> DataFrame:
    """The staged rows with `_reasons`, found as the gate found them: duplicates are not judged."""
    broken = set(verdict.broken_indexes)
    if any(rule.checks_uniqueness and rule.index in broken for rule in suite.quarantining):
        # Rows are counted among all that the frame has; the duplicates must not be there, which costs a scan.
        marked = split(staged.where(~F.col("_duplicate")), suite, broken)
        return marked.unionByName(staged.where("_duplicate"), allowMissingColumns=True)
    marked = split(staged, suite, broken)
    return marked.withColumn(REASONS, F.when(~F.col("_duplicate"), F.col(REASONS)))


def without_outdated(
    staged: DataFrame, published: DataFrame, key: tuple[str, ...], later: Collection[str]
) -> DataFrame:
    """Rows whose `key` a later increment has published, from one of the files `later`, are duplicates of it.

    Else a run that is replayed or cleared would put old values over new ones.
    """
    newer = published.where(file_of().isin(sorted(later))).select(*key, F.lit(True).alias("_outdated"))
    duplicate = F.col("_duplicate") | F.coalesce(F.col("_outdated"), F.lit(False))
    return staged.join(newer, list(key), "left").withColumn("_duplicate", duplicate).drop("_outdated")


def with_fate(staged: DataFrame, table: Table, decided: DataFrame | None) -> DataFrame:
    """The judged rows of `table` with `_fate`: deduplicated, dropped, written, accepted or quarantined.

    `decided` are people's decisions (`decisions.newest`); None when nobody has ever decided anything.
    """
    if decided is None:
        staged = staged.withColumn(DECISION, F.lit(None).cast("string"))
        staged = staged.withColumn(DECIDED_ON, F.lit(None).cast("array<string>"))
    else:
        staged = staged.join(decided, SOURCE_ROW_ID, "left")
    fate = (
        F.when(F.col("_duplicate"), "deduplicated")
        .when(F.col(DECISION) == "drop", "dropped")
        .when(F.size(REASONS) == 0, "written")
        .when(accepted(table), "accepted")
        .otherwise("quarantined")
    )
    return staged.withColumn(FATE, fate)


def is_published() -> Column:
    return F.col(FATE).isin("written", "accepted")


def is_quarantined() -> Column:
    return F.col(FATE) == "quarantined"


def is_dropped() -> Column:
    return F.col(FATE) == "dropped"
