"""Parquet, as tables of databases are landed. Its rows have numbers of their own: Spark reads them."""

from __future__ import annotations

from typing import IO

from millstream.contracts.contract import Contract, alike
from millstream.formats.format import Format
from millstream.formats.record import Delivered, UnreadableError

# A column of landed tables: values that the type of their column does not hold, as text by its name.
UNFIT = "_millstream_unfit"


def delivered(stream: IO[bytes], contract: Contract) -> Delivered:
    """The table's columns. Raises: UnreadableError: two have the same name."""
    import pyarrow.parquet as pq

    names = [name for name in pq.read_schema(stream).names if name != UNFIT]
    if same := alike(names):
        raise UnreadableError(f"has columns named twice: {same}")
    return Delivered(names, {})


def has_records(stream: IO[bytes], contract: Contract) -> bool:
    """Whether there is a row."""
    import pyarrow.parquet as pq

    return bool(pq.read_metadata(stream).num_rows)


FORMAT = Format(delivered, has_records, rows=None)
