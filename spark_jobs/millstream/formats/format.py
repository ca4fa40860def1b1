"""What a format can: all that the platform asks of the module that reads it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import IO

from millstream.contracts.contract import Contract
from millstream.formats.record import Delivered, Piece, Rows

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Format:
    """Functions of a landed file's bytes; each reads as a stream, and raises UnreadableError with words that
    go on behind the file's name.

    delivered: the columns. has_records: whether there is a record; raises also where the file is not whole,
    as far as that can be seen. rows: the records in file order, of one piece or of the whole; None where
    Spark reads them itself. pieces: where files can be cut, in parts of about a number of bytes, by what
    passes by; None where they cannot.
    """

    delivered: Callable[[IO[bytes], Contract], Delivered]
    has_records: Callable[[IO[bytes], Contract], bool]
    rows: Callable[[IO[bytes], Contract, Piece | None], Rows] | None
    pieces: Callable[[IO[bytes], int], tuple[Piece, ...]] | None = None


# Opens what a packed file holds; `whole`: its checksum is compared at the end, or has been at the beginning.
Unpack = Callable[[IO[bytes], bool], AbstractContextManager[IO[bytes]]]


def packed(unpack: Unpack, inner: Format) -> Format:
    """`inner` in a packed file, which is read to its end where it has to be whole."""

    def delivered(stream: IO[bytes], contract: Contract) -> Delivered:
        with unpack(stream, False) as content:
            return inner.delivered(content, contract)

    def has_records(stream: IO[bytes], contract: Contract) -> bool:
        with unpack(stream, True) as content:
            some = inner.has_records(content, contract)
            while content.read(CHUNK_BYTES):
                pass
            return some

    def rows(stream: IO[bytes], contract: Contract, piece: Piece | None) -> Rows:
        assert inner.rows is not None
        with unpack(stream, False) as content:
            yield from inner.rows(content, contract, None)

    return Format(delivered, has_records, rows)
