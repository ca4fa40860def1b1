"""Arrow's columns as text: each value as the contract's types read it, and as a person would write it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from millstream.formats.json_values import Number, as_written
from millstream.formats.record import Columns, Wanted, added_as_json

if TYPE_CHECKING:
    import pyarrow as pa

# RE2, as Arrow has it.
_WHOLE = "^-?[0-9]+$"
_ZEROS = r"(\.[0-9]*[1-9])?(\.?0*)(Z?)$"
SHOWN = 80


def columns_of(batch: pa.RecordBatch, contract: Wanted, unfit: pa.Array | None = None) -> Columns:
    """The rows of a batch. `unfit`: for each row a map of texts, by column, that its column does not hold."""
    layout = contract.layout(batch.schema.names)
    texts: dict[str, Any] = {
        name: _with_unfit(as_text(batch.column(name)), name, unfit)
        for name in (*layout.delivered, *layout.added)
        if name is not None
    }
    return Columns(
        batch.num_rows,
        [None if name is None else texts[name] for name in layout.delivered],
        added_as_json({name: texts[name].to_pylist() for name in layout.added}),
        _bytes_for_text(batch, texts, contract),
    )


def as_text(column: pa.Array) -> pa.Array:
    """The values of a column as strings; null where there is none."""
    import pyarrow as pa

    kind = column.type
    is_a = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        uuids = str(kind.extension_name) == "arrow.uuid"
        return _each(column, str) if uuids else as_text(column.storage)
    if is_a.is_dictionary(kind):
        return as_text(column.cast(kind.value_type))
    if is_a.is_floating(kind):
        return _of_floats(column)
    if is_a.is_decimal(kind):
        return _of_decimals(column)
    if is_a.is_timestamp(kind) or is_a.is_time(kind):
        return _of_times(column)
    if is_a.is_date64(kind):
        return column.cast(pa.date32()).cast(pa.string())
    if (
        is_a.is_boolean(kind)
        or is_a.is_integer(kind)
        or is_a.is_date32(kind)
        or is_a.is_null(kind)
        or _is_text(kind)
    ):
        return column.cast(pa.string())
    return _each(column, lambda value: value if isinstance(value, str) else text_of(value))


def text_of(value: Any) -> str | None:
    """A Python value as text: of bytes the digits, because few bytes are text; of lists and objects JSON."""
    match value:
        case None | str():
            return value
        case bool():
            return "true" if value else "false"
        case bytes():
            return f"\\x{value.hex()}"
        case Decimal():
            return f"{value:f}"
        case datetime() | time():
            return _iso(value)
        case dict() | list() | tuple():
            return as_written(_for_json(value))
        case _:
            return str(value)


def _iso(value: datetime | time) -> str:
    text = value.isoformat(" ") if isinstance(value, datetime) else value.isoformat()
    return text.replace("+00:00", "Z")


def _for_json(value: Any) -> Any:
    match value:
        case dict():
            return {str(text_of(name)): _for_json(one) for name, one in value.items()}
        case list() | tuple():
            return [_for_json(one) for one in value]
        case None | bool() | int() | str():
            return value
        case float() | Decimal():
            text = str(text_of(value))
            # JSON has no word for these.
            return Number(text) if text.lower().lstrip("-") not in ("nan", "inf", "infinity") else text
        case _:
            return text_of(value)


def _each(column: pa.Array, text: Callable[[Any], str | None]) -> pa.Array:
    import pyarrow as pa

    kind = column.type
    values: list[Any] = column.to_pylist(maps_as_pydicts="lossy" if _has_maps(kind) else None)
    return pa.array([None if value is None else text(value) for value in values], pa.string())


def _has_maps(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_map(kind)) or any(
        _has_maps(kind.field(place).type) for place in range(kind.num_fields)
    )


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    is_a = pa.types
    return any(is_kind(kind) for is_kind in (is_a.is_string, is_a.is_large_string, is_a.is_string_view))


def _is_binary(kind: pa.DataType) -> bool:
    import pyarrow as pa

    is_a = pa.types
    kinds = (is_a.is_binary, is_a.is_large_binary, is_a.is_fixed_size_binary, is_a.is_binary_view)
    return any(is_kind(kind) for is_kind in kinds)


def _of_floats(column: pa.Array) -> pa.Array:
    import pyarrow as pa
    from pyarrow import compute as pc

    if pa.types.is_float16(column.type):
        column = column.cast(pa.float32())
    text = column.cast(pa.string())
    # So that it is seen not to have been a whole number's column.
    return pc.if_else(
        pc.match_substring_regex(text, _WHOLE), pc.binary_join_element_wise(text, "0", "."), text
    )


def _of_decimals(column: pa.Array) -> pa.Array:
    import pyarrow as pa
    from pyarrow import compute as pc

    text = column.cast(pa.string())
    if pc.any(pc.match_substring(text, "E")).as_py():
        return _each(column, text_of)
    return text


def _of_times(column: pa.Array) -> pa.Array:
    import pyarrow as pa
    from pyarrow import compute as pc

    kind = column.type
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        column = column.cast(pa.timestamp(kind.unit, "UTC"))
    text = column.cast(pa.string())
    if kind.unit == "s":
        return text
    return pc.replace_substring_regex(text, _ZEROS, r"\1\3")


def _with_unfit(text: pa.Array, name: str, unfit: pa.Array | None) -> pa.Array:
    import pyarrow as pa

    if unfit is None or unfit.null_count == len(unfit):
        return text
    others = [dict(each or ()).get(name) for each in unfit.to_pylist()]
    return pa.array(
        [other if value is None else value for value, other in zip(text.to_pylist(), others, strict=True)],
        pa.string(),
    )


def bytes_not_text(digits: str) -> str:
    """Why bytes cannot be a value of a column of text."""
    return f"bytes, not of type string: {digits[:SHOWN]}"


def _bytes_for_text(
    batch: pa.RecordBatch, texts: Mapping[str, Any], contract: Wanted
) -> list[str | None] | None:
    """Why a row with bytes where the contract has a text cannot be read; None for the others."""
    pairs = zip(contract.column_names, contract.layout(batch.schema.names).delivered, strict=True)
    binary = {
        column: texts[name].to_pylist()
        for column, name in pairs
        if name is not None and column in contract.text_columns and _is_binary(batch.column(name).type)
    }
    if not any(value is not None for values in binary.values() for value in values):
        return None
    return [
        "; ".join(
            f"{column}: {bytes_not_text(value)}"
            for column, value in zip(binary, row, strict=True)
            if value is not None
        )
        or None
        for row in zip(*binary.values(), strict=True)
    ]
