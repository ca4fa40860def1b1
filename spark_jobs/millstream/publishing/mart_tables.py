"""What a mart's table is: the columns of its SELECT, which may be others the next time."""

from __future__ import annotations

from collections.abc import Iterable

from pyspark.sql import types as T

from millstream.contracts.periods import is_month
from millstream.errors import ContractError
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


def require_months(table: Table, column: str, partitions: Iterable[str | None]) -> None:
    """Raise ContractError when the `column` that a mart is cut by has another value than a month."""
    if wrong := [one for one in partitions if one is None or not is_month(one)]:
        raise ContractError(
            f"{table.file}: its column {column!r}, which the table is cut by, has to be a month, YYYY-MM, "
            f"and has {wrong[0]!r}. Nothing was published. What to do: correct the SELECT, or leave "
            "partition out of the head"
        )


def require_same_columns(table: Table, present: Snapshot | None) -> None:
    """Raise ContractError when months are made that have other columns than the rest of the table."""
    if has_other_columns(table, present):
        raise ContractError(
            f"{table.file}: its columns are no longer those of the table, so months cannot be made alone. "
            "Nothing was published. What to do: run the DAG with force, which makes the whole table"
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
