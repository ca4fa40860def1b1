"""The Arrow type of each SQL column, from what the database says of it, so that every batch has one schema.

A batch without rows, or with nothing but NULLs in a column, still has the column's type.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import pyarrow as pa
from sqlalchemy import Column, ColumnElement, String, Table, case, cast, func, types

from millstream.contracts.nested import nested
from millstream.contracts.types import Digits, digits_of
from millstream.errors import SourceDataError
from millstream.formats.readers.parquet import UNFIT
from millstream.sources import mariadb
from millstream.sources.ordering import is_no_number, not_held

LARGEST_PRECISION = 38

_SAME_IN_ARROW: tuple[tuple[type[types.TypeEngine[Any]], pa.DataType], ...] = (
    (types.Boolean, pa.bool_()),
    (types.Integer, pa.int64()),
    (types.Float, pa.float64()),
    (types.Date, pa.date32()),
    (types.String, pa.string()),
    (types.LargeBinary, pa.binary()),
)
# Of a field that is text because no type of Arrow's has room for the numbers of its column.
NUMBER = {b"millstream": b"number"}
_CONTRACT_TYPES: dict[str, Callable[[pa.DataType], bool]] = {
    "string": pa.types.is_string,
    "smallint": pa.types.is_integer,
    "int": pa.types.is_integer,
    "bigint": pa.types.is_integer,
    "float": lambda found: pa.types.is_floating(found) or pa.types.is_decimal(found),
    "double": lambda found: pa.types.is_floating(found) or pa.types.is_decimal(found),
    "boolean": pa.types.is_boolean,
    "date": pa.types.is_date,
    "timestamp": pa.types.is_timestamp,
    "timestamp_ntz": lambda found: pa.types.is_timestamp(found) and found.tz is None,
    # The database's text of these; each value is asked later.
    "time": pa.types.is_string,
    "json": pa.types.is_string,
    "binary": pa.types.is_binary,
}
_WHOLE = ("smallint", "int", "bigint")


class Landed(NamedTuple):
    """How a table lands: what is selected, and the schema.

    `unfit` are names of columns that may have values which their type does not hold. These are selected
    besides, as text and behind all columns, and land in the map `UNFIT`; the column itself is null then.
    """

    selected: list[ColumnElement[Any]]
    schema: pa.Schema
    unfit: list[str]

    def only(self, names: Sequence[str]) -> Landed:
        """The same of these columns alone."""
        places = [self.schema.get_field_index(name) for name in names]
        unfit = [name for name in self.unfit if name in names]
        behind = len(self.selected) - len(self.unfit)
        selected = [*places, *(behind + self.unfit.index(name) for name in unfit)]
        fields = [self.schema.field(place) for place in places]
        fields += [self.schema.field(UNFIT)] if unfit else []
        return Landed([self.selected[place] for place in selected], pa.schema(fields), unfit)


def landed_columns(table: Table, dialect: str) -> Landed:
    """What to select from `table`, and the schema that lands: all columns in its order, all nullable.

    Whole numbers become int64 and floats float64, whatever their width; NUMERIC keeps precision and scale; a
    timestamp with zone is UTC. An array lands as JSON; every other type (NUMERIC without precision, UUID,
    JSON, times of day, intervals, …) as the text that the database makes of it.
    """
    selected: list[ColumnElement[Any]] = []
    unfit: dict[str, ColumnElement[Any]] = {}
    fields: list[pa.Field] = []
    for column in table.columns:
        same = _same_in_arrow(column)
        misfit = _misfit(column, same, dialect)
        is_number = isinstance(column.type, types.Numeric) and same is None
        metadata = NUMBER if is_number else None
        fields.append(pa.field(column.name, same if same is not None else pa.string(), metadata=metadata))
        value = mariadb.read(column)
        if misfit is not None:
            selected.append(case((misfit, None), else_=value).label(column.name))
            unfit[column.name] = case((misfit, cast(value, String)))
        else:
            selected.append(
                value.label(column.name) if same is not None else _as_text(column).label(column.name)
            )
    if unfit:
        fields.append(pa.field(UNFIT, pa.map_(pa.string(), pa.string())))
    return Landed([*selected, *unfit.values()], pa.schema(fields), list(unfit))


def change_of_type(expected: str, field: pa.Field) -> Literal["widened", "retyped"] | None:
    """How a column landed as `field` differs from what a contract calls `expected`."""
    found = field.type
    is_number = field.metadata == NUMBER or pa.types.is_decimal(found) or pa.types.is_floating(found)
    if (digits := digits_of(expected)) is not None:
        if pa.types.is_decimal(found) and not _has_room(digits, found):
            return "widened"
        return None if is_number or pa.types.is_integer(found) else "retyped"
    # The database's text of a JSON column; each value is asked later.
    fits = pa.types.is_string if nested(expected) else _CONTRACT_TYPES[expected]
    if fits(found) and not (expected == "string" and field.metadata == NUMBER):
        return None
    if expected in ("float", "double") and is_number:
        return None
    if expected == "date" and pa.types.is_timestamp(found):
        return "widened"
    return "widened" if expected in _WHOLE and is_number else "retyped"


def _has_room(digits: Digits, found: pa.DataType) -> bool:
    room = digits.precision - digits.scale
    return bool(digits.scale >= found.scale and room >= found.precision - found.scale)


def arrow_table(where: str, landed: Landed, rows: Sequence[Sequence[Any]]) -> pa.Table:
    """The selected `rows`. Raises SourceDataError naming the column whose values do not have its type."""
    columns: list[Sequence[Any]] = list(zip(*rows, strict=True)) or [()] * len(landed.selected)
    if landed.unfit:
        of_table = len(columns) - len(landed.unfit)
        columns = [*columns[:of_table], _as_maps(landed.unfit, columns[of_table:])]
    arrays = [_array(where, field, values) for field, values in zip(landed.schema, columns, strict=True)]
    return pa.Table.from_arrays(arrays, schema=landed.schema)


def _as_maps(names: list[str], columns: Sequence[Sequence[Any]]) -> list[dict[str, str] | None]:
    maps = (
        {name: value for name, value in zip(names, values, strict=True) if value is not None}
        for values in zip(*columns, strict=True)
    )
    return [entries or None for entries in maps]


def _misfit(column: Column[Any], same: pa.DataType | None, dialect: str) -> ColumnElement[bool] | None:
    """Holds for the column's values that `same` does not hold; None where it holds all."""
    if dialect in mariadb.DIALECTS:
        return mariadb.misfit(column)
    if dialect != "postgresql" or same is None:
        return None
    if pa.types.is_temporal(same):
        return not_held(column)
    return is_no_number(column) if pa.types.is_decimal(same) else None


def _as_text(column: Column[Any]) -> ColumnElement[str]:
    # PostgreSQL's own text of an array, {1,NULL}, is no list of anything else.
    value = func.to_jsonb(column) if isinstance(column.type, types.ARRAY) else column
    return cast(value, String)


def _same_in_arrow(column: Column[Any]) -> pa.DataType | None:
    kind = column.type
    if isinstance(kind, types.DateTime):
        return pa.timestamp("us", tz="UTC" if kind.timezone else None)
    # SQLAlchemy 2.0 has Float below Numeric, 2.1 beside it.
    if isinstance(kind, types.Numeric) and not isinstance(kind, types.Float):
        return None if kind.precision is None else _decimal(kind.precision, kind.scale or 0)
    return next((arrow_type for sql_type, arrow_type in _SAME_IN_ARROW if isinstance(kind, sql_type)), None)


def _decimal(precision: int, scale: int) -> pa.DataType | None:
    """PostgreSQL has NUMERIC(5, -2), whole hundreds, and NUMERIC(2, 4), two digits behind two zeros."""
    digits = max(precision, scale) - min(scale, 0)
    return pa.decimal128(digits, max(scale, 0)) if digits <= LARGEST_PRECISION else None


def _array(where: str, field: pa.Field, values: Sequence[Any]) -> pa.Array:
    try:
        if pa.types.is_integer(field.type) and (
            cut := next((value for value in values if _has_fraction(value)), None)
        ):
            # Arrow would take 1 for 1.5.
            raise ValueError(f"{cut!r} is no whole number")
        return pa.array(values, field.type)
    # ArrowNotImplementedError is what Arrow raises for a value that it cannot convert.
    except (ValueError, TypeError, ArithmeticError, NotImplementedError) as error:
        raise SourceDataError(
            f"{where}: column {field.name} holds a value that is not {field.type}: {error}. Nothing was "
            "landed. What to do: correct the row there, then clear the task"
        ) from error


def _has_fraction(value: Any) -> bool:
    return isinstance(value, float) and not value.is_integer()
