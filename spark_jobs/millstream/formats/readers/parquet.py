"""Parquet: files that others wrote, and tables of databases as they land. Cut between row groups."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from millstream.formats.arrow_text import columns_of, opening
from millstream.formats.format import Format
from millstream.formats.record import Delivered, Piece, Rows, UnreadableError, Wanted, alike

if TYPE_CHECKING:
    import pyarrow.parquet as pq

# A column of landed tables: values that the type of their column does not hold, as text by its name.
UNFIT = "_millstream_unfit"
BATCH_ROWS = 8192


def delivered(stream: IO[bytes], contract: Wanted) -> Delivered:
    """The file's columns. Raises: UnreadableError: no Parquet file, or two columns have the same name."""
    with _opened(stream) as file:
        return Delivered([name for name in file.schema_arrow.names if name != UNFIT], {})


def has_records(stream: IO[bytes], contract: Wanted) -> bool:
    """Whether there is a row. Every value is read, because most files have no checksums."""
    with _opened(stream) as file:
        rows = sum(batch.num_rows for batch in file.iter_batches(BATCH_ROWS, use_threads=False))
        if rows != file.metadata.num_rows:
            raise UnreadableError(f"has {rows:,} rows where its footer says {file.metadata.num_rows:,}")
        return bool(rows)


def rows(stream: IO[bytes], contract: Wanted, piece: Piece | None = None) -> Rows:
    """The rows of the row groups that begin in `piece`, or of all."""
    with _opened(stream) as file:
        groups = list(range(file.num_row_groups))
        if piece:
            starts = _starts(file)
            groups = [number for number in groups if 0 <= starts[number] - piece.offset < piece.length]
        names = file.schema_arrow.names
        layout = contract.layout(name for name in names if name != UNFIT)
        wanted = [name for name in names if name in {*layout.delivered, *layout.added, UNFIT}]
        for batch in file.iter_batches(BATCH_ROWS, groups, columns=wanted, use_threads=False):
            unfit = batch.column(UNFIT) if UNFIT in names else None
            yield columns_of(batch.select([name for name in wanted if name != UNFIT]), contract, unfit)


def pieces_at_end(stream: IO[bytes], contract: Wanted, size: int) -> tuple[Piece, ...]:
    """Row groups, as many together as have about `size` bytes."""
    with _opened(stream) as file:
        starts = _starts(file)
        counts = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
    if starts != sorted(set(starts)):
        return ()
    end = stream.seek(0, 2)
    noted: list[Piece] = []
    first_row, rows, begin = 1, 0, starts[0] if starts else 0
    for count, until in zip(counts, [*starts[1:], end], strict=True):
        rows += count
        if (until - begin >= size and rows) or until == end:
            noted.append(Piece(begin, until - begin, first_row))
            first_row, rows, begin = first_row + rows, 0, until
    return tuple(noted)


def _starts(file: pq.ParquetFile) -> list[int]:
    """Where each row group begins, in bytes."""
    groups = (file.metadata.row_group(number) for number in range(file.num_row_groups))
    return [
        min(
            column.dictionary_page_offset or column.data_page_offset
            for column in (group.column(place) for place in range(group.num_columns))
        )
        for group in groups
    ]


@contextmanager
def _opened(stream: IO[bytes]) -> Iterator[pq.ParquetFile]:
    import pyarrow.parquet as pq

    with opening(stream, "Parquet file", (b"PAR1",)):
        # Old timestamps (INT96) hold more years than nanoseconds do: 9999 would become 1816.
        file = pq.ParquetFile(stream, page_checksum_verification=True, coerce_int96_timestamp_unit="us")
        if same := alike(file.schema_arrow.names):
            raise UnreadableError(f"has columns named twice: {same}")
        yield file


FORMAT = Format(
    "rows, with types of their own",
    delivered,
    has_records,
    rows,
    pieces_at_end=pieces_at_end,
    packable=False,
)
