"""Whether the values of a table's columns are in the tables that it refers to."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from millstream.lake import history
from millstream.lake.reading import read_at
from millstream.lake.tables import TableRef
from millstream.transforms import Table


def referenced_versions(table: Table, lake_root: str) -> dict[str, int]:
    """Versions of the tables that `table` refers to, as far as they have been published."""
    names = {other for _, other, _ in table.references.values()}
    tables = map(TableRef.parse, sorted(names))
    versions = {str(one): history.read(one, lake_root).published_version for one in tables}
    return {name: version for name, version in versions.items() if version is not None}


def with_references_checked(
    rows: DataFrame, table: Table, lake_root: str, versions: Mapping[str, int]
) -> DataFrame:
    """Each flag is true when the row's value is in the other table, null when there is nothing to look up
    or the other table is not among the `versions`."""
    for flag, (own, place, other) in table.references.items():
        if place not in versions:
            rows = rows.withColumn(flag, F.lit(None).cast("boolean"))
            continue
        looked_up = read_at(rows.sparkSession, place, lake_root, versions[place])
        known = looked_up.select(F.col(other).alias(f"{flag}_key"))
        rows = (
            rows.join(F.broadcast(known), F.col(own) == F.col(f"{flag}_key"), "left")
            .withColumn(flag, F.when(F.col(own).isNotNull(), F.col(f"{flag}_key").isNotNull()))
            .drop(f"{flag}_key")
        )
    return rows
