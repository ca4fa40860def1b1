"""What a worker of Spark does: landed bytes to Arrow batches of strings, a few thousand rows at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from millstream.bronze.parts import Part
from millstream.contracts.contract import Contract
from millstream.errors import SourceDataError
from millstream.formats.record import Record, UnreadableError
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
    "_source_file": "string",
    "_source_row": "bigint",
    "_record_error": "string",
    "_record": "string",
    "_added": "string",
}


def decoded(contract: Contract, lake_root: str, parts: Iterable[Part]) -> Iterator[pa.RecordBatch]:
    """The rows of the parts, as text: the contract's columns, then `LINEAGE`.

    Raises: SourceDataError: a file cannot be read; ClusterError: the lake's storage fails.
    """
    from millstream.bronze.rows import decoder

    storage = Storage(lake_root)
    decode = decoder(contract)
    for path, piece, _ in parts:
        with storage.reading(path) as stream:
            try:
                records = decode(stream, piece)
                yield from _batches(records, contract.column_names, path, piece.first_row if piece else 1)
            except UnreadableError as error:
                raise SourceDataError(f"{path} {error}. {FETCH_AGAIN}") from error


def _batches(
    records: Iterator[Record | None], columns: list[str], path: str, first_row: int
) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    types = {"string": pa.string(), "bigint": pa.int64()}
    lineage = [(name, types[kind]) for name, kind in LINEAGE.items()]
    schema = pa.schema([*((name, pa.string()) for name in columns), *lineage])
    blank: list[str | None] = [None] * len(columns)
    rows: list[list[Any]] = []
    characters = 0
    for number, record in enumerate(records, start=first_row):
        if record is None:
            continue
        values, error, raw, added = record
        rows.append([*(blank if values is None else values), path, number, error, raw, added])
        characters += len(raw or "") + sum(len(value) for value in values or () if value)
        if len(rows) == BATCH_ROWS or characters > BATCH_CHARACTERS:
            yield _batch(rows, schema)
            rows, characters = [], 0
    if rows:
        yield _batch(rows, schema)


def _batch(rows: list[list[Any]], schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    arrays = [
        pa.array(values, field.type) for values, field in zip(zip(*rows, strict=True), schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
