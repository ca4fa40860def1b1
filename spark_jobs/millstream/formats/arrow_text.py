"""Arrow's columns as text: each value as the contract's types read it, and as a person would write it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import IO, TYPE_CHECKING, Any

from millstream.formats.json_values import Ambiguous, Number, as_written
from millstream.formats.record import Columns, UnreadableError, Wanted, added_as_json, unreadable

if TYPE_CHECKING:
    import pyarrow as pa

# RE2, as Arrow has it.
_WHOLE = "^-?[0-9]+$"
_ZEROS = r"(\.[0-9]*[1-9])?\.?0*$"
_A_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
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


@contextmanager
def opening(stream: IO[bytes], kind: str, beginnings: tuple[bytes, ...]) -> Iterator[None]:
    """What Arrow says of a file that it cannot read becomes UnreadableError; errors of the system stay."""
    import pyarrow as pa

    try:
        yield
    except UnreadableError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise unreadable(stream, kind, beginnings, error) from error


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
    if is_a.is_duration(kind):
        return _each(column.cast(pa.int64()), lambda count: _as_clock(count, _A_SECOND[kind.unit]))
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
        case timedelta():
            return _as_clock(value // timedelta(microseconds=1), _A_SECOND["us"])
        case dict() | list() | tuple() | Ambiguous():
            return as_written(_for_json(value))
        case _:
            return str(value)


def _iso(value: datetime | time) -> str:
    text = value.isoformat(" ") if isinstance(value, datetime) else value.isoformat()
    return text.replace("+00:00", "Z")


def _as_clock(count: int, a_second: int) -> str:
    """A duration as a clock shows it: hours of any number, minutes, seconds and their fraction."""
    seconds, rest = divmod(abs(count), a_second)
    fraction = f"{rest / a_second:.9f}"[1:].rstrip("0") if rest else ""
    minutes, seconds = divmod(seconds, 60)
    sign = "-" if count < 0 else ""
    return f"{sign}{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}{fraction}"


def _for_json(value: Any) -> Any:
    match value:
        case dict():
            return {str(text_of(name)): _for_json(one) for name, one in value.items()}
        case list() | tuple():
            return [_for_json(one) for one in value]
        case None | bool() | int() | str() | Ambiguous():
            return value
        case float() | Decimal():
            text = str(text_of(value))
            # JSON has no word for these.
            return Number(text) if text.lower().lstrip("-") not in ("nan", "inf", "infinity") else text
        case _:
            return text_of(value)


def _each(column: pa.Array, text: Callable[[Any], str | None]) -> pa.Array:
    import pyarrow as pa

    values: list[Any]
    try:
        values = column.to_pylist(maps_as_pydicts="strict")
    except (KeyError, ValueError, OverflowError):
        values = [_value(scalar) for scalar in column]
    return pa.array([None if value is None else text(value) for value in values], pa.string())


def _value(scalar: pa.Scalar) -> Any:
    """A Python value, where Arrow makes none of the whole: a name twice, a time beyond Python's years."""
    import pyarrow as pa

    if not scalar.is_valid:
        return None
    match scalar:
        case pa.MapScalar():
            keys, items = ([_value(each) for each in scalar.values.field(place)] for place in (0, 1))
            return Ambiguous(
                [(str(text_of(key)), _for_json(item)) for key, item in zip(keys, items, strict=True)]
            )
        case pa.ListScalar():
            return [_value(item) for item in scalar.values]
        case pa.StructScalar():
            fields = ((field.name, _value(scalar[place])) for place, field in enumerate(scalar.type))
            return Ambiguous([(name, _for_json(item)) for name, item in fields])
        case _:
            try:
                return scalar.as_py()
            except OverflowError:
                return as_text(pa.array([scalar], scalar.type))[0].as_py()


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
    zoned = pa.types.is_timestamp(kind) and kind.tz is not None
    if zoned:
        # Of a time with a zone Arrow writes a wrong year where its years end.
        column = column.cast(pa.int64()).cast(pa.timestamp(kind.unit))
    if pa.types.is_timestamp(kind) and (seconds := _of_whole_seconds(column)) is not None:
        return pc.binary_join_element_wise(seconds, "Z", "") if zoned else seconds
    text = column.cast(pa.string())
    if kind.unit != "s":
        text = pc.replace_substring_regex(text, _ZEROS, r"\1")
    return pc.replace_substring_regex(text, "([0-9])$", r"\1Z") if zoned else text


def _of_whole_seconds(column: pa.Array) -> pa.Array | None:
    """Times without a zone as text; None where one has a fraction, or is beyond the years that Arrow writes.

    Most have none, and to take a fraction's zeros away by a pattern costs ten times as much.
    """
    import pyarrow as pa
    from pyarrow import compute as pc

    try:
        text = column.cast(pa.timestamp("s")).cast(pa.string())
    except pa.ArrowInvalid:
        return None
    # Arrow says how many of its unit they are.
    return None if pc.any(pc.starts_with(text, "<")).as_py() else text


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
