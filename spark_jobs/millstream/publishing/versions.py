"""The history of a table: every version that a row has had, and from when to when it was the valid one.

Dimension tables that keep what they were: "type 2" in Kimball, The Data Warehouse Toolkit. A version is what
some delivery said of a key at a moment of the source, in whatever order these come. So the versions of a key
are all made anew when one more of it is known.
"""

from __future__ import annotations

from datetime import datetime

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, StructField, StructType, TimestampType

from millstream.lake.source_rows import file_order
from millstream.lake.staging import SOURCE_ROW_ID
from millstream.publishing.decisions import DECISION
from millstream.publishing.fate import FATE, is_published, is_tombstone
from millstream.quality.predicates import REASONS, split
from millstream.quality.suite import Suite
from millstream.transforms import Table

FROM, TO = "valid_from", "valid_to"
CURRENT, DELETED = "is_current", "is_deleted"
# When the run began to fetch that a version is of: of two that say different things of one moment, the later.
READ = "_read_at"
FIT = "_fit"


def columns(table: Table, published: StructType) -> StructType:
    """Those of the history of `table`: all that it has `published`, and how long they were valid."""
    assert table.latest_by is not None
    kept = [StructField(one.name, one.dataType, one.name not in table.key, one.metadata) for one in published]
    kind = published[table.latest_by].dataType
    comments = (
        {"comment": "When the row became so, at the source"},
        {"comment": "When it changed; null: not yet"},
    )
    return StructType(
        [
            *kept,
            StructField(FROM, kind, False, comments[0]),
            StructField(TO, kind, True, comments[1]),
            StructField(CURRENT, BooleanType(), True, {"comment": "Whether the table has this row"}),
            StructField(DELETED, BooleanType(), True, {"comment": "Whether the source has deleted it then"}),
            StructField(
                READ, TimestampType(), True, {"comment": "When the run that brought it began to fetch"}
            ),
        ]
    )


def with_fit(rows: DataFrame, suite: Suite) -> DataFrame:
    """Judged rows with `_fit`: whether they keep the rules, also those that were not judged because a later
    row of their key is the one that is published."""
    single = {rule.index for rule in suite.quarantining if not rule.checks_uniqueness}
    again = split(rows.withColumnRenamed(REASONS, "_judged"), suite, single)
    return again.withColumn(FIT, F.size(REASONS) == 0).drop(REASONS).withColumnRenamed("_judged", REASONS)


def brought(rows: DataFrame, table: Table, read_at: datetime) -> DataFrame:
    """The versions in a run's rows with their fate: columns of the table, `valid_from`, `is_deleted`,
    `_read_at`. Older rows of a key are among them, which the table leaves out as duplicates."""
    older = (F.col(FATE) == "deduplicated") & ~F.col(DECISION).eqNullSafe("drop")
    older = older & (F.size("_malformed") == 0) & (F.col(FIT) | F.col("_deleted"))
    versions = rows.where(is_published() | is_tombstone() | older)
    first = Window.partitionBy(*table.key, str(table.latest_by)).orderBy("_duplicate", *file_order())
    return (
        versions.withColumn("_place", F.row_number().over(first))
        .where("_place = 1")
        .select(
            *table.schema.fieldNames(),
            SOURCE_ROW_ID,
            F.col(str(table.latest_by)).alias(FROM),
            F.col("_deleted").alias(DELETED),
            F.lit(read_at).cast("timestamp").alias(READ),
        )
    )


def in_order(known: DataFrame, new: DataFrame, key: tuple[str, ...], first_stays: bool) -> DataFrame:
    """All versions of each key, `known` ones and `new` ones, with `valid_to` and `is_current`.

    Of several for one moment that of the run counts which began to fetch last, or first if that
    `first_stays`.
    """
    by_run = F.asc(READ) if first_stays else F.desc(READ)
    versions = known.withColumn("_new", F.lit(False)).unionByName(new.withColumn("_new", F.lit(True)))
    newest = Window.partitionBy(*key, FROM).orderBy(by_run, F.desc("_new"))
    chosen = versions.withColumn("_place", F.row_number().over(newest)).where("_place = 1")
    following = F.lead(FROM).over(Window.partitionBy(*key).orderBy(FROM))
    ended = chosen.withColumn(TO, following).drop("_place", "_new")
    return ended.withColumn(CURRENT, F.col(TO).isNull() & ~F.col(DELETED))


def latest(history: DataFrame) -> DataFrame:
    """The last version of each key; it says of a deleted one that it is."""
    return history.where(F.col(TO).isNull())
