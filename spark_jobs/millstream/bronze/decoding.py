"""What a worker of Spark does: landed bytes to Arrow batches of strings, a few thousand rows at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any

from millstream.bronze.parts import Part
from millstream.contracts.contract import Contract
from millstream.errors import SourceDataError
from millstream.formats.record import Columns, Rows, UnreadableError
from millstream.formats.registry import format_of
from millstream.lake.source_rows import SOURCE_FILE, SOURCE_ROW
from millstream.lake.storage import Storage

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 4096
# Rows may be long.
BATCH_CHARACTERS = 1 << 22
# A file is checked when it lands; what cannot be read later was damaged since, or landed before that check.
FETCH_AGAIN = (
    "Nothing was loaded. What to do: clear the run from plan, which fetches it again; if it is so at the "
    "source, ask its owner"
)
LINEAGE = {
    "_partition": "string",
    SOURCE_FILE: "string",
    SOURCE_ROW: "bigint",
    "_record_error": "string",
    "_record": "string",
    "_added": "string",
}


def decoded(contract: Contract, lake_root: str, parts: Iterable[Part]) -> Iterator[pa.RecordBatch]:
    """The rows of the parts, as text: the contract's columns, then `LINEAGE`.

    Raises: SourceDataError: a file cannot be read; ClusterError: the lake's storage fails.
    """
    storage = Storage(lake_root)
    format_ = format_of(contract)
    for part in parts:
        if part.piece is not None and not format_.has_pieces:
            raise SourceDataError(f"{part.path} has pieces, and its format has none. {FETCH_AGAIN}")
        with storage.reading(part.path) as stream:
            try:
                yield from batches(_rows(stream, contract, part), contract.column_names, part)
            except UnreadableError as error:
                raise SourceDataError(f"{part.path} {error}. {FETCH_AGAIN}") from error


def _rows(stream: IO[bytes], contract: Contract, part: Part) -> Rows:
    format_ = format_of(contract)
    if format_.about is None:
        return format_.rows(stream, contract, part.piece)
    if part.origin is None:
        raise UnreadableError("has no file that it came from")
    return iter([format_.about(stream, contract, part.origin)])


def batches(rows: Rows, columns: list[str], part: Part) -> Iterator[pa.RecordBatch]:
    """The rows of a part, each with its place; no batch has many rows, or long text."""
    import pyarrow as pa

    types = {"string": pa.string(), "bigint": pa.int64()}
    lineage = [(name, types[kind]) for name, kind in LINEAGE.items()]
    schema = pa.schema([*((name, pa.string()) for name in columns), *lineage])
    blank: list[str | None] = [None] * len(columns)
    held: list[list[Any]] = []
    partition, path = part.partition, part.path
    characters, number = 0, part.first_row
    for row in rows:
        if isinstance(row, Columns):
            if held:
                yield _batch(held, schema)
                held, characters = [], 0
            yield _columnar(row, schema, part, number)
            number += row.rows
            continue
        if row is not None:
            values, error, raw, added = row
            own = blank if values is None else values
            held.append([*own, partition, path, number, error, raw, added])
            characters += len(raw or "") + sum(len(value) for value in values or () if value)
            if len(held) == BATCH_ROWS or characters > BATCH_CHARACTERS:
                yield _batch(held, schema)
                held, characters = [], 0
        number += 1
    if held:
        yield _batch(held, schema)


def _batch(rows: list[list[Any]], schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    arrays = [
        pa.array(values, field.type) for values, field in zip(zip(*rows, strict=True), schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _columnar(columns: Columns, schema: pa.Schema, part: Part, first_row: int) -> pa.RecordBatch:
    import pyarrow as pa

    nothing = pa.nulls(columns.rows, pa.string())
    arrays = [
        *(nothing if values is None else values for values in columns.values),
        pa.repeat(part.partition, columns.rows),
        pa.repeat(part.path, columns.rows),
        pa.arange(first_row, first_row + columns.rows),
        *(
            nothing if texts is None else pa.array(texts, pa.string())
            for texts in (columns.errors, columns.raws, columns.added)
        ),
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
