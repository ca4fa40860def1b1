"""Is a received file whole, and where can it be cut? Asked of the received bytes, before they become visible
in landing."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, BinaryIO

from millstream.contracts.contract import Contract, FilesSource
from millstream.errors import SourceDataError
from millstream.formats import csv_lines, json_records, xml_rows
from millstream.formats.archives import gunzipped, unzipped
from millstream.formats.record import Piece, UnreadableError

CHUNK_BYTES = 1 << 20
ASK_AGAIN = "Nothing was landed. What to do: ask the source's owner for the file again, then clear the task"


def check_file(contract: Contract, where: str) -> Callable[[BinaryIO], None]:
    """The check of one received file at `where`; it raises SourceDataError with the reason.

    The file must be readable to its end and hold at least one record, unless `allow_empty`. Whether single
    records can be read is not asked here: a record that cannot goes to quarantine later, the file does not.
    """

    def check(stream: BinaryIO) -> None:
        if not stream.read(1):
            raise SourceDataError(f"{where} is empty (0 bytes). {ASK_AGAIN}")
        stream.seek(0)
        try:
            has_records = _has_records(contract, stream)
        except UnreadableError as error:
            raise SourceDataError(f"{where} {error}. {ASK_AGAIN}") from error
        if not has_records and not contract.allow_empty:
            raise SourceDataError(f"{where} holds no record. {ASK_AGAIN}")

    return check


def splitter(contract: Contract, where: str, size: int) -> Callable[[IO[bytes]], tuple[Piece, ...]]:
    """What notes, of a file at `where` that passes by, pieces of about `size` bytes.

    A file of no more than that, or of a format that cannot be split, has none. It raises SourceDataError with
    the reason.
    """

    def split(stream: IO[bytes]) -> tuple[Piece, ...]:
        if not isinstance(contract.source, FilesSource) or contract.source.format != "csv":
            return ()
        try:
            pieces = csv_lines.pieces(stream, size)
        except UnreadableError as error:
            raise SourceDataError(f"{where} {error}. {ASK_AGAIN}") from error
        return pieces if len(pieces) > 1 else ()

    return split


def _has_records(contract: Contract, stream: BinaryIO) -> bool:
    match contract.source:
        case FilesSource(format="csv.zip"):
            with unzipped(stream, whole=True) as content:
                return csv_lines.has_records(content, contract)
        case FilesSource(format="csv"):
            return csv_lines.has_records(stream, contract)
        case FilesSource(format="jsonl.gz"):
            with gunzipped(stream) as content:
                found = json_records.lines_have_records(content)
                while content.read(CHUNK_BYTES):  # to the end, where the checksum is compared
                    pass
                return found
        case FilesSource(format="xml", row_tag=str() as row_tag):
            return xml_rows.has_records(stream, row_tag)
    raise SourceDataError(
        f"{contract.dataset}: no check is known for format {contract.source.format}. "
        "What to do: correct source.format in the contract"
    )
