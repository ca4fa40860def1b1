"""The rows to be published counted: all that is decided of them from numbers, in one aggregation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from millstream.lake import checks
from millstream.lake.accounts import PartitionCounts
from millstream.lake.comparing import comparable
from millstream.lake.source_rows import file_of
from millstream.lake.staging import SOURCE_ROW_ID
from millstream.publishing.fate import FATE, is_published, is_quarantined
from millstream.quality.predicates import REASONS

# The fates that are counts of the account by their own name; `written` has the accepted rows too.
COUNTED = ("accepted", "quarantined", "deduplicated", "dropped", "tombstones")
HASHES = ("content_hash", "quarantine_hash")


@dataclass(frozen=True)
class Counted:
    """What one aggregation says of rows whose fate is known.

    `partitions` are counts and content hashes of each. `broken` rows broke a critical rule, whatever became
    of them; `unfit` ones are to be published and break a CHECK. `landed` are the files that quarantined rows
    came from.
    """

    partitions: dict[str, PartitionCounts]
    broken: int
    unfit: int = 0
    landed: frozenset[str] = frozenset()


def count(rows: DataFrame, columns: StructType, table_checks: Mapping[str, str]) -> Counted:
    """Count `rows` with `_partition`, `_reasons` and `_fate`, to be published with `columns`."""
    counted = (
        # A file a group, and no set of files in each: Spark aggregates sets object by object.
        rows.groupBy("_partition", F.when(is_quarantined(), file_of()).alias("landed"))
        .agg(
            F.count(F.lit(1)).alias("read"),
            F.count_if(is_published()).alias("written"),
            *(F.count_if(F.col(FATE) == fate).alias(fate) for fate in COUNTED),
            F.count_if(F.size(REASONS) > 0).alias("broken"),
            F.count_if(is_published() & checks.breaks_any(table_checks)).alias("unfit"),
            *_exact_sum("content_hash", F.when(is_published(), row_hash(columns))),
            *_exact_sum(
                "quarantine_hash", F.when(is_quarantined(), F.xxhash64(SOURCE_ROW_ID, F.col(REASONS)))
            ),
        )
        .collect()
    )
    names = {row["_partition"] for row in counted}
    return Counted(
        partitions={
            name: _partition_counts([row for row in counted if row["_partition"] == name]) for name in names
        },
        broken=sum(row["broken"] for row in counted),
        unfit=sum(row["unfit"] for row in counted),
        landed=frozenset(row["landed"] for row in counted if row["landed"] is not None),
    )


def row_hash(columns: StructType) -> Column:
    """64 bits of a row's values.

    Nulls and the order of columns must tell, and xxhash64 skips nulls: which they are is hashed too.
    """
    values = [F.expr(comparable(f"`{column.name}`", column.dataType)) for column in columns.fields]
    nulls = [F.col(column.name).isNull() for column in columns.fields if column.nullable]
    return F.xxhash64(*values, *nulls)


def _partition_counts(rows: list[Row]) -> PartitionCounts:
    """The sums over the groups of one partition."""
    return PartitionCounts(
        **{name: sum(row[name] for row in rows) for name in ("read", "written", *COUNTED)},
        **{
            name: str(sum(((row[f"{name}_high"] or 0) << 32) + (row[f"{name}_low"] or 0) for row in rows))
            for name in HASHES
        },
    )


def _exact_sum(name: str, hashes: Column) -> tuple[Column, Column]:
    """The sum of 64-bit hashes as that of their halves, which does not overflow; decimals are slow."""
    high, low = F.shiftright(hashes, 32), hashes.bitwiseAND(F.lit(0xFFFFFFFF))
    return F.sum(high).alias(f"{name}_high"), F.sum(low).alias(f"{name}_low")
