"""What a mart's table is: the columns of its SELECT, which may be others the next time."""

from __future__ import annotations

from pyspark.sql import types as T

from millstream.lake.history import Snapshot
from millstream.lake.staging import DEFAULTS, SOURCE_ROW_ID
from millstream.marts import Mart
from millstream.transforms import Table


def definition(mart: Mart, staged: T.StructType) -> Table:
    """The table of `mart`, whose rows are staged with this schema."""
    kept = [field for field in staged.fields if field.name not in (SOURCE_ROW_ID, *DEFAULTS)]
    return Table(
        name=mart.name,
        file=f"marts/{mart.name}.sql",
        description=mart.head.description,
        schema=T.StructType([T.StructField(one.name, one.dataType, True, one.metadata) for one in kept]),
        key=mart.head.key,
        mart=True,
    )


def has_other_columns(table: Table, present: Snapshot | None) -> bool:
    """Whether the present table has other names, types or comments, or another order of columns.

    Rows are compared by their values alone: those of a renamed column are the same.
    """
    if present is None:
        return False
    return _described(T.StructType.fromJson(present.schema)) != _described(table.schema)


def _described(schema: T.StructType) -> list[tuple[str, str, str | None]]:
    return [(one.name, one.dataType.simpleString(), one.metadata.get("comment")) for one in schema.fields]
