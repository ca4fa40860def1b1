"""Which landed row a row came from: `_source_row_id`, `file#row`. It is made and taken apart here alone.

No landed file has a `#` in its path (`landing.manifest.LANDED`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from millstream.lake.tables import SOURCE_ROW_ID, WHOLE

if TYPE_CHECKING:
    from pyspark.sql import Column

# Columns of landed rows.
SOURCE_FILE = "_source_file"
SOURCE_ROW = "_source_row"
# SQL for the landed file of a row that has its id.
FILE_SQL = f"substring_index({SOURCE_ROW_ID}, '#', 1)"


def place_of(source_row_id: str) -> tuple[str, str]:
    """Landed file and row number of a source row id."""
    file, _, row = source_row_id.rpartition("#")
    return file, row


def row_id(file: str = SOURCE_FILE, row: str = SOURCE_ROW) -> Column:
    """The id of a row, from the columns that have its landed file and its number there."""
    from pyspark.sql import functions as F

    return F.concat_ws("#", file, row).alias(SOURCE_ROW_ID)


def file_of() -> Column:
    """The landed file of a row that has its id."""
    from pyspark.sql import functions as F

    return F.expr(FILE_SQL)


def among(files: Collection[str]) -> Column:
    """Whether a row that has its id came from one of these landed files."""
    from pyspark.sql import functions as F

    return file_of().isin(sorted(files)) if files else F.lit(False)


def delivered_for() -> Column:
    """The period that a row's landed file was delivered for, or `WHOLE`, of a row that has its id."""
    from pyspark.sql import functions as F

    period = F.regexp_extract(SOURCE_ROW_ID, r"/partition=([^/]+)/", 1)
    return F.when(period != "", period).otherwise(F.lit(WHOLE))


def topic_place() -> tuple[Column, Column]:
    """Partition and offset of a row that came from a topic: its landed file is called `topic/partition`."""
    from pyspark.sql import functions as F

    partition = F.substring_index(F.expr(FILE_SQL), "/", -1).cast("int")
    return partition, F.substring_index(SOURCE_ROW_ID, "#", -1).cast("bigint")


def below(ends: Mapping[int, int], partition: Column, offset: Column) -> Column:
    """Whether a row lies below these ends of its topic's partitions; not so in a partition without one."""
    from pyspark.sql import functions as F

    lies = F.lit(False)
    for number, end in ends.items():
        lies |= (partition == number) & (offset < end)
    return lies


def at_or_beyond(topic: str, offsets: Mapping[int, int], table: str) -> str:
    """SQL: whether a row of `table` came from `topic`, at or beyond these offsets of its partitions."""
    file = f"substring_index({table}.{SOURCE_ROW_ID}, '#', 1)"
    row = f"CAST(substring_index({table}.{SOURCE_ROW_ID}, '#', -1) AS BIGINT)"
    parts = [f"({file} = '{topic}/{partition}' AND {row} >= {one})" for partition, one in offsets.items()]
    return f"({' OR '.join(parts)})"


def file_order() -> tuple[Column, Column]:
    """To order rows by: the landed file, then the row's number in it."""
    from pyspark.sql import functions as F

    parts = F.split(SOURCE_ROW_ID, "#")
    return F.element_at(parts, 1), F.element_at(parts, -1).try_cast("bigint")
