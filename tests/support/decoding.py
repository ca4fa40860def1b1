"""The records of a landed file, each by itself, whichever reader has read them."""

from __future__ import annotations

from typing import IO

from millstream.contracts.contract import Contract
from millstream.formats.record import Columns, Piece, Record, Rows
from millstream.formats.registry import format_of


def records_of(contract: Contract, stream: IO[bytes], piece: Piece | None = None) -> list[Record | None]:
    """What the platform reads; None for a blank line."""
    return each(format_of(contract).rows(stream, contract, piece))


def each(rows: Rows) -> list[Record | None]:
    records: list[Record | None] = []
    for row in rows:
        if isinstance(row, Columns):
            nothing: list[str | None] = [None] * row.rows
            values = [nothing if one is None else one.to_pylist() for one in row.values]
            beside = (row.errors or nothing, row.raws or nothing, row.added or nothing)
            for own, error, raw, added in zip(zip(*values, strict=True), *beside, strict=True):
                # A column has null for what could not be read; a record has no values then.
                records.append(Record(None if raw is not None else [*own], error, raw, added))
        else:
            records.append(row)
    return records
