"""The columns of Parquet and ORC files, of which the file itself knows the types."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.orc
import pyarrow.parquet

from millstream.contracts.types import KEYS, MOST_DIGITS, MOST_LEVELS, ColumnType
from millstream_stack.commands.new.nested import struct_of

_SAME: tuple[tuple[tuple[pa.DataType, ...], ColumnType], ...] = (
    ((pa.bool_(),), "boolean"),
    ((pa.int8(), pa.int16(), pa.uint8()), "smallint"),
    ((pa.int32(), pa.uint16()), "int"),
    ((pa.int64(), pa.uint32()), "bigint"),
    ((pa.uint64(),), "decimal(20,0)"),
    ((pa.float16(), pa.float32()), "float"),
    ((pa.float64(),), "double"),
    ((pa.date32(), pa.date64()), "date"),
)


def kinds_of(path: Path, format_: str) -> dict[str, str]:
    """The types of the file's columns by their names; not of texts, which may be written values of any."""
    if format_ == "parquet":
        schema = pyarrow.parquet.read_schema(path)
    elif format_ == "orc":
        schema = pyarrow.orc.ORCFile(path).schema
    else:
        return {}
    return {one.name: kind for one in schema if (kind := _kind(one.type, MOST_LEVELS))}


def _kind(type_: pa.DataType, levels: int) -> ColumnType | None:
    if kind := next((kind for same, kind in _SAME if type_ in same), None):
        return kind
    match type_:
        case pa.Decimal128Type() if 0 <= type_.scale <= type_.precision <= MOST_DIGITS:
            return f"decimal({type_.precision},{type_.scale})"
        case pa.TimestampType():
            return "timestamp" if type_.tz else "timestamp_ntz"
        case pa.Time32Type() | pa.Time64Type():
            return "time"
        case pa.DictionaryType():
            return _kind(type_.value_type, levels)
        case pa.ListType() | pa.LargeListType() | pa.FixedSizeListType():
            return f"array<{_part(type_.value_type, levels)}>" if levels else "json"
        case pa.MapType():
            key = _part(type_.key_type, levels)
            return f"map<{key},{_part(type_.item_type, levels)}>" if levels and key in KEYS else "json"
        case pa.StructType():
            fields = {one.name: _part(one.type, levels) for one in type_}
            return struct_of(fields) if levels and len(fields) == type_.num_fields else "json"
    is_a = pa.types
    is_bytes = is_a.is_binary(type_) or is_a.is_large_binary(type_) or is_a.is_fixed_size_binary(type_)
    return "binary" if is_bytes else None


def _part(type_: pa.DataType, levels: int) -> ColumnType:
    return _kind(type_, levels - 1) or "string"
