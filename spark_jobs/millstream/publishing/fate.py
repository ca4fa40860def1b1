"""What becomes of each staged row: published, kept in quarantine, or left out, and on whose word."""

from __future__ import annotations

from collections.abc import Collection

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from millstream.lake.source_rows import among
from millstream.lake.staging import SOURCE_ROW_ID
from millstream.publishing.decisions import DECIDED_ON, DECISION, accepted
from millstream.quality.predicates import REASONS, split
from millstream.quality.suite import Suite
from millstream.quality.verdict import Verdict
from millstream.transforms import Table

FATE = "_fate"


def judged(staged: DataFrame, suite: Suite, verdict: Verdict) -> DataFrame:
    """The staged rows with `_reasons`, found as the gate found them: duplicates are not judged, nor deleted
    rows."""
    left_out = F.col("_duplicate") | F.col("_deleted")
    broken = set(verdict.broken_indexes)
    if any(rule.checks_uniqueness and rule.index in broken for rule in suite.quarantining):
        # Rows are counted among all that the frame has; the duplicates must not be there, which costs a scan.
        marked = split(staged.where(~left_out), suite, broken)
        return marked.unionByName(staged.where(left_out), allowMissingColumns=True)
    marked = split(staged, suite, broken)
    return marked.withColumn(REASONS, F.when(~left_out, F.col(REASONS)))


def without_outdated(
    staged: DataFrame, published: DataFrame, table: Table, own: Collection[str], stands: Column
) -> DataFrame:
    """Rows whose key another run has published with a later value of `latest_by`, or an equal one and
    `stands`, are duplicates of it; `own` files are the run's.

    Else a delivery that comes late, or a run that is replayed or cleared, would put old values over new ones.
    """
    by = table.latest_by or F.lit(0)
    had = published.where(~among(own))
    had = had.select(*table.key, F.struct(by).alias("_had"), stands.alias("_stands"))
    if table.history:
        newest = (F.max("_had").alias("_had"), F.max_by("_stands", "_had").alias("_stands"))
        had = had.groupBy(*table.key).agg(*newest)
    # In structs, because a null comes before every value there.
    outdated = (F.col("_had") > F.struct(by)) | ((F.col("_had") == F.struct(by)) & F.col("_stands"))
    marked = staged.join(had, list(table.key), "left")
    duplicate = F.col("_duplicate") | F.coalesce(outdated, F.lit(False))
    return marked.withColumn("_duplicate", duplicate).drop("_had", "_stands")


def with_fate(staged: DataFrame, table: Table, decided: DataFrame | None) -> DataFrame:
    """The judged rows of `table` with `_fate`: deduplicated, dropped, tombstones, written, accepted or
    quarantined.

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
        .when(F.col("_deleted"), "tombstones")
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


def is_tombstone() -> Column:
    return F.col(FATE) == "tombstones"
