"""Events that have come before: the same once more, or another one under the same id."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from millstream.lake.source_rows import file_order
from millstream.lake.tables import SOURCE_ROW_ID
from millstream.publishing.counts import row_hash
from millstream.quality.predicates import MALFORMED, REASONS

CONTENTS = "_contents"
FIRST = "_first"


def with_duplicates_marked(
    rows: DataFrame, published: DataFrame, key: tuple[str, ...], columns: StructType
) -> DataFrame:
    """Judged `rows` with `_duplicate`: the table, or an earlier row, has its `key` with the same contents.

    With other contents it is no duplicate, but malformed: nobody can say which of the two is right. Only rows
    without a reason are compared: those that break a rule are not in the table, whatever micro-batch they
    come in, so they are neither duplicates nor the earlier row of others.
    """
    compared = StructType([column for column in columns.fields if column.name != SOURCE_ROW_ID])
    there = published.select(*key, row_hash(compared).alias(FIRST))
    rows = rows.withColumn(CONTENTS, row_hash(compared)).join(there, list(key), "left")
    good = F.size(REASONS) == 0
    earlier = Window.partitionBy(*key).orderBy(F.when(good, 0).otherwise(1), *file_order())
    before = F.when(F.row_number().over(earlier) > 1, F.first(CONTENTS).over(earlier))
    rows = rows.withColumn(FIRST, F.coalesce(FIRST, before))
    repeated = good & F.col(FIRST).isNotNull()
    same = F.col(CONTENTS) == F.col(FIRST)
    reason = F.array(F.lit(f"{', '.join(key)}: came before with other contents"))
    other = F.when(repeated & ~same, reason).otherwise(F.array().cast("array<string>"))
    marks = {
        "_duplicate": F.coalesce(repeated & same, F.lit(False)),
        **{name: F.concat(name, other) for name in (MALFORMED, REASONS)},
    }
    return rows.withColumns(marks).drop(CONTENTS, FIRST)
