"""The Arrow type of each SQL column, from what the database says of it, so that every batch has one schema.

A batch without rows, or with nothing but NULLs in a column, still has the column's type.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import pyarrow as pa
from sqlalchemy import Column, ColumnElement, String, Table, cast, types

from millstream.contract import ColumnType
from millstream.errors import SourceDataError

LARGEST_PRECISION = 38

_SAME_IN_ARROW: tuple[tuple[type[types.TypeEngine[Any]], pa.DataType], ...] = (
    (types.Boolean, pa.bool_()),
    (types.Integer, pa.int64()),
    (types.Float, pa.float64()),
    (types.Date, pa.date32()),
    (types.String, pa.string()),
    (types.LargeBinary, pa.binary()),
)
_CONTRACT_TYPES: dict[ColumnType, Callable[[pa.DataType], bool]] = {
    "string": pa.types.is_string,
    "int": pa.types.is_integer,
    "bigint": pa.types.is_integer,
    "double": lambda found: pa.types.is_floating(found) or pa.types.is_decimal(found),
    "boolean": pa.types.is_boolean,
    "date": pa.types.is_date,
    "timestamp": pa.types.is_timestamp,
}
_WIDER: dict[ColumnType, ColumnType] = {"int": "double", "bigint": "double", "date": "timestamp"}


def landed_columns(table: Table) -> tuple[list[ColumnElement[Any]], pa.Schema]:
    """What to select from `table`, and the schema that lands: all columns in its order, all nullable.

    Whole numbers become int64 and floats float64, whatever their width; NUMERIC keeps precision and scale; a
    timestamp with zone is UTC. Every other type (NUMERIC without precision, UUID, JSON, times of day,
    intervals, …) lands as the text that the database makes of it.
    """
    selected: list[ColumnElement[Any]] = []
    fields: list[pa.Field] = []
    for column in table.columns:
        same = _same_in_arrow(column)
        selected.append(column if same is not None else cast(column, String).label(column.name))
        fields.append(pa.field(column.name, same if same is not None else pa.string()))
    return selected, pa.schema(fields)


def change_of_type(expected: ColumnType, found: pa.DataType) -> Literal["widened", "retyped"] | None:
    """How a column landed as `found` differs from what a contract calls `expected`."""
    if _CONTRACT_TYPES[expected](found):
        return None
    wider = _WIDER.get(expected)
    return "widened" if wider is not None and _CONTRACT_TYPES[wider](found) else "retyped"


def arrow_table(where: str, schema: pa.Schema, rows: Sequence[Sequence[Any]]) -> pa.Table:
    """`rows` in `schema`. Raises SourceDataError naming the column whose values do not have its type."""
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    arrays = [_array(where, field, values) for field, values in zip(schema, columns, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _same_in_arrow(column: Column[Any]) -> pa.DataType | None:
    kind = column.type
    if isinstance(kind, types.DateTime):
        return pa.timestamp("us", tz="UTC" if kind.timezone else None)
    # SQLAlchemy 2.0 has Float below Numeric, 2.1 beside it.
    if isinstance(kind, types.Numeric) and not isinstance(kind, types.Float):
        fits = kind.precision is not None and kind.precision <= LARGEST_PRECISION
        return pa.decimal128(kind.precision, kind.scale or 0) if fits else None
    return next((arrow_type for sql_type, arrow_type in _SAME_IN_ARROW if isinstance(kind, sql_type)), None)


def _array(where: str, field: pa.Field, values: Sequence[Any]) -> pa.Array:
    try:
        return pa.array(values, field.type)
    except (ValueError, TypeError, OverflowError) as error:
        raise SourceDataError(
            f"{where}: column {field.name} holds a value that is not {field.type}: {error}. Nothing was "
            "landed. Correct the row there, then clear the task"
        ) from error
