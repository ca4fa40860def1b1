"""Values of nested types in a form that Spark compares and hashes without loss.

Spark compares and hashes no maps, and a hash of an array passes over its nulls and lengths: [1, null] is like
[null, 1] there, [[1], [2]] like [[1, 2]].
"""

from __future__ import annotations

from pyspark.sql import types as T


def comparable(value: str, kind: T.DataType) -> str:
    """SQL of a value that is equal, and has the same hash, exactly where `value` is equal; null where it is.

    Parts of a struct come with whether they are null, those of an array with their number, too; the entries
    of a map are in the order of their keys.
    """
    return _comparable(value, kind, 0)


def differ(columns: T.StructType, names: list[str]) -> str:
    """SQL over rows `old` and `new`: whether one of the columns `names` differs."""
    kinds = {column.name: column.dataType for column in columns.fields}
    pairs = (
        (comparable(f"old.`{name}`", kinds[name]), comparable(f"new.`{name}`", kinds[name])) for name in names
    )
    return " OR ".join(f"NOT ({old} <=> {new})" for old, new in pairs)


def _comparable(value: str, kind: T.DataType, depth: int) -> str:
    item = f"_e{depth}"
    match kind:
        case T.ArrayType(elementType=element):
            parts = f"transform({value}, {item} -> {_flagged(item, element, depth + 1)})"
            return _unless_null(value, f"struct(size({value}), {parts})")
        case T.StructType(fields=fields):
            parts = ", ".join(_flagged(f"{value}.`{each.name}`", each.dataType, depth) for each in fields)
            return _unless_null(value, f"struct({parts})")
        case T.MapType(valueType=of_value):
            entry = f"struct({item}.key, {_flagged(f'{item}.value', of_value, depth + 1)})"
            parts = f"array_sort(transform(map_entries({value}), {item} -> {entry}))"
            return _unless_null(value, f"struct(size({value}), {parts})")
    return value


def _flagged(value: str, kind: T.DataType, depth: int) -> str:
    return f"struct({value} IS NULL, {_comparable(value, kind, depth)})"


def _unless_null(value: str, made: str) -> str:
    return f"if({value} IS NULL, NULL, {made})"
