"""Lists, records and maps: a JSON text to a value of a nested type, each text in it read as in a column.

Spark's own `from_json` takes numbers for doubles on the way, fills what it does not find with nulls and says
nothing of what it leaves out. So Python takes the text apart, by the parser of the formats, which keeps every
number as it was written, and Spark reads the texts in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import and_
from typing import Any

import pyarrow as pa
from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.pandas.functions import arrow_udf

from millstream.bronze.readings import reading
from millstream.contracts.contract import Column as ContractColumn
from millstream.contracts.nested import ArrayOf, MapOf, StructOf, nested
from millstream.formats.json_values import parse, text_of

# How JSON writes half of a character, which no text in UTF-8 has, and many whole ones.
ESCAPE = "\\u"


@dataclass
class _Fields:
    """Names, as paths, of the fields of a value that its type does not have, and of those that it lacks."""

    unknown: dict[str, None] = field(default_factory=dict)
    missing: dict[str, None] = field(default_factory=dict)


def taken_apart(text: Column, column: ContractColumn) -> Column:
    """`text` as a value of the column's type with every value in it as text; never null.

    A struct of `value`, null where the text is none of the type, and of `unknown` and `missing`
    (array<string>): fields, such as `lines[].price`, that the type does not have, or the text.
    """
    type_ = column.type

    # Spark reads these hints, and so pyarrow is imported above.
    def apart(texts: pa.Array) -> pa.Array:
        return pa.array([_apart(one, column) for one in texts.to_pylist()], _arrow_type(type_))

    returned = f"struct<value:{_of_texts(type_)},unknown:array<string>,missing:array<string>>"
    as_column: Any = arrow_udf(apart, returned)  # type: ignore[call-overload]
    made: Column = as_column(text)
    return made


def value_of(apart: Column, type_: str) -> Column:
    """What `taken_apart` gave as `value` in the column's type; null where one of its texts has no reading."""
    match nested(type_):
        case ArrayOf(element):
            made = F.transform(apart, lambda item: value_of(item, element))
            return _kept(made, lambda values: _all_read(apart, values))
        case StructOf(fields):
            names = [name for name, _ in fields]
            parts = F.struct(*(value_of(apart[name], each).alias(name) for name, each in fields))
            return _kept(
                F.when(apart.isNotNull(), parts),
                lambda made: reduce(and_, (_read(apart[name], made[name]) for name in names)),
            )
        case MapOf(key, value):
            return _map(apart, key, value)
    return _leaf(apart, type_)


def _leaf(text: Column, type_: str) -> Column:
    read = reading(text, ContractColumn(name="value", type=type_))
    # Over Connect a text out of Python is `string collate UTF8_BINARY`, as in `bronze.rows`.
    return read.cast("string") if type_ in ("string", "time", "json") else read


def _map(entries: Column, key: str, value: str) -> Column:
    made = F.transform(
        entries,
        lambda entry: F.struct(
            _leaf(entry["key"], key).alias("key"), value_of(entry["value"], value).alias("value")
        ),
    )

    def fit(read: Column) -> Column:
        keys = F.transform(read, lambda entry: entry["key"])
        whole = F.forall(keys, lambda each: each.isNotNull()) & (
            F.size(F.array_distinct(keys)) == F.size(keys)
        )
        values = F.transform(read, lambda entry: entry["value"])
        return whole & _all_read(F.transform(entries, lambda entry: entry["value"]), values)

    return F.get(F.transform(_fitting(made, fit), F.map_from_entries), F.lit(0))


def _kept(made: Column, fit: Callable[[Column], Column]) -> Column:
    return F.get(_fitting(made, fit), F.lit(0))


def _fitting(made: Column, fit: Callable[[Column], Column]) -> Column:
    """A list of `made`, if it is `fit`. As the variable of a lambda it is made once, wherever it is named."""
    return F.filter(F.array(made), fit)


def _all_read(texts: Column, values: Column) -> Column:
    return F.forall(F.zip_with(texts, values, _read), lambda each: each)


def _read(text: Column, value: Column) -> Column:
    return text.isNull() == value.isNull()


def _of_texts(type_: str) -> str:
    """The Spark type of a value of `type_` with every value in it as text."""
    match nested(type_):
        case ArrayOf(element):
            return f"array<{_of_texts(element)}>"
        case StructOf(fields):
            return f"struct<{','.join(f'`{name}`:{_of_texts(each)}' for name, each in fields)}>"
        case MapOf(_, value):
            return f"array<struct<key:string,value:{_of_texts(value)}>>"
    return "string"


def _arrow_type(type_: str) -> pa.DataType:
    names = pa.list_(pa.string())
    return pa.struct([("value", _arrow_of_texts(type_)), ("unknown", names), ("missing", names)])


def _arrow_of_texts(type_: str) -> pa.DataType:
    match nested(type_):
        case ArrayOf(element):
            return pa.list_(_arrow_of_texts(element))
        case StructOf(fields):
            return pa.struct([(name, _arrow_of_texts(each)) for name, each in fields])
        case MapOf(_, value):
            return pa.list_(pa.struct([("key", pa.string()), ("value", _arrow_of_texts(value))]))
    return pa.string()


def _apart(text: str | None, column: ContractColumn) -> dict[str, Any]:
    nothing: dict[str, Any] = {"value": None, "unknown": [], "missing": []}
    if text is None:
        return nothing
    fields = _Fields()
    try:
        value = _texts(parse(text), column.type, column.name, fields)
        made = {"value": value, "unknown": list(fields.unknown), "missing": list(fields.missing)}
        if ESCAPE in text:
            json.dumps(made, ensure_ascii=False).encode()
    # RecursionError: nested deeper than any type. A UnicodeEncodeError is a ValueError.
    except (ValueError, RecursionError):
        return nothing
    return made


def _texts(value: Any, type_: str, path: str, fields: _Fields) -> Any:
    """A JSON value with every value in it as text; `fields` gets what is unknown or missing.

    Raises: ValueError: it is none of the type, or has a name twice.
    """
    if value is None:
        return None
    match nested(type_), value:
        case None, _:
            return text_of(value)
        case ArrayOf(element), list():
            return [_texts(each, element, f"{path}[]", fields) for each in value]
        case StructOf(known), dict():
            return _record(value, dict(known), f"{path}.", fields)
        case MapOf(_, each_type), dict():
            below = f"{path}{{}}"
            return [
                {"key": name, "value": _texts(each, each_type, below, fields)} for name, each in value.items()
            ]
    raise ValueError("no list or object where the type has one")


def _record(value: Mapping[str, Any], known: dict[str, str], path: str, fields: _Fields) -> dict[str, Any]:
    fields.unknown.update((f"{path}{name}", None) for name in value if name not in known)
    fields.missing.update((f"{path}{name}", None) for name in known if name not in value)
    return {name: _texts(value.get(name), type_, f"{path}{name}", fields) for name, type_ in known.items()}
