"""ORC: rows in stripes, with types of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from millstream.formats.arrow_text import columns_of, opening
from millstream.formats.format import Format
from millstream.formats.record import Delivered, Piece, Rows, UnreadableError, Wanted, alike

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 8192


def delivered(stream: IO[bytes], contract: Wanted) -> Delivered:
    """The file's columns. Raises: UnreadableError: no ORC file, or two columns have the same name."""
    with _opened(stream) as file:
        return Delivered(file.schema.names, {})


def has_records(stream: IO[bytes], contract: Wanted) -> bool:
    """Whether there is a row. Every value is read."""
    with _opened(stream) as file:
        rows: int = sum(batch.num_rows for batch in _batches(file))
        return rows > 0


def rows(stream: IO[bytes], contract: Wanted, piece: Piece | None = None) -> Rows:
    """The rows in file order."""
    with _opened(stream) as file:
        for batch in _batches(file):
            yield columns_of(batch, contract)


def _batches(file: Any) -> Iterator[pa.RecordBatch]:
    for number in range(file.nstripes):
        stripe = file.read_stripe(number)
        for start in range(0, stripe.num_rows, BATCH_ROWS):
            yield stripe.slice(start, BATCH_ROWS)


@contextmanager
def _opened(stream: IO[bytes]) -> Iterator[Any]:
    from pyarrow import orc

    with opening(stream, "ORC file", (b"ORC",)):
        file = orc.ORCFile(stream)
        if same := alike(file.schema.names):
            raise UnreadableError(f"has columns named twice: {same}")
        yield file


FORMAT = Format("rows, with types of their own", delivered, has_records, rows, packable=False)
