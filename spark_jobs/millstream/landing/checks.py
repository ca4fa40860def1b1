"""Is a received file whole, and where can it be cut? Asked of the received bytes, before they become visible
in landing."""

from __future__ import annotations

from typing import IO, BinaryIO

from millstream.contracts.contract import Contract
from millstream.errors import SourceDataError
from millstream.formats.record import Piece, UnreadableError
from millstream.formats.registry import format_of
from millstream.landing.receiving import Check, Split

ASK_AGAIN = "Nothing was landed. What to do: ask the source's owner for the file again, then clear the task"


def check_file(contract: Contract, where: str, piece_bytes: int = 0) -> Check:
    """The check of one received file at `where`; it raises SourceDataError with the reason.

    The file must be readable to its end and hold at least one record, unless `allow_empty`. Whether single
    records can be read is not asked here: a record that cannot goes to quarantine later, the file does not.
    It returns the pieces of a file whose directory, at its end, says where it can be cut.
    """
    format_ = format_of(contract)

    def check(stream: BinaryIO) -> tuple[Piece, ...]:
        if not stream.read(1):
            raise SourceDataError(f"{where} is empty (0 bytes). {ASK_AGAIN}")
        stream.seek(0)
        try:
            has_records = format_.has_records(stream, contract)
            stream.seek(0)
            pieces = format_.pieces_at_end(stream, contract, piece_bytes) if format_.pieces_at_end else ()
        except UnreadableError as error:
            raise SourceDataError(f"{where} {error}. {ASK_AGAIN}") from error
        if not has_records and not contract.allow_empty:
            raise SourceDataError(f"{where} holds no record. {ASK_AGAIN}")
        return pieces if len(pieces) > 1 else ()

    return check


def splitter(contract: Contract, where: str, size: int) -> Split:
    """What notes, of a file at `where` that passes by, pieces of about `size` bytes.

    A file of no more than that, or of a format that cannot be split so, has none. It raises SourceDataError
    with the reason.
    """
    noted = format_of(contract).pieces

    def split(stream: IO[bytes]) -> tuple[Piece, ...]:
        try:
            pieces = noted(stream, contract, size) if noted else ()
        except UnreadableError as error:
            raise SourceDataError(f"{where} {error}. {ASK_AGAIN}") from error
        return pieces if len(pieces) > 1 else ()

    return split
