"""Is a received file whole? Checked on the received bytes, before they become visible in landing."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Callable, Iterable
from typing import BinaryIO
from xml.parsers import expat

from millstream.contract import FilesSource
from millstream.errors import SourceDataError

CHUNK_BYTES = 1 << 20
ASK_AGAIN = "Nothing was landed. Ask the source's owner for the file again, then clear the task"


def check_file(source: FilesSource, allow_empty: bool, where: str) -> Callable[[BinaryIO], None]:
    """The check of one received file at `where`; it raises SourceDataError with the reason.

    The file must be readable to its end and hold at least one record, unless `allow_empty`. Whether single
    records can be read is not asked here: a record that cannot goes to quarantine later, the file does not.
    """

    def check(stream: BinaryIO) -> None:
        if not stream.read(1):
            raise SourceDataError(f"{where} is empty (0 bytes). {ASK_AGAIN}")
        stream.seek(0)
        if not _has_records(source, stream, where) and not allow_empty:
            raise SourceDataError(f"{where} holds no record. {ASK_AGAIN}")

    return check


def _has_records(source: FilesSource, stream: BinaryIO, where: str) -> bool:
    match source:
        case FilesSource(format="csv.zip"):
            return _zip_has_records(stream, where)
        case FilesSource(format="csv"):
            return _has_lines(stream, header=1)
        case FilesSource(format="jsonl.gz"):
            return _gzip_has_records(stream, where)
        case FilesSource(format="xml", row_tag=str() as row_tag):
            return _xml_has_records(stream, row_tag, where)
    raise SourceDataError(f"{where}: no check is known for format {source.format}")


def _zip_has_records(stream: BinaryIO, where: str) -> bool:
    try:
        with zipfile.ZipFile(stream) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            if len(members) != 1:
                raise SourceDataError(f"{where} holds {len(members)} files: expected one. {ASK_AGAIN}")
            if archive.testzip() is not None:
                raise zipfile.BadZipFile(f"bad checksum of {members[0].filename}")
            with archive.open(members[0]) as lines:
                return _has_lines(lines, header=1)
    # RuntimeError: the member is encrypted; NotImplementedError: an unknown compression.
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise SourceDataError(f"{where} is not a readable zip file: {error}. {ASK_AGAIN}") from error


def _gzip_has_records(stream: BinaryIO, where: str) -> bool:
    try:
        with gzip.GzipFile(fileobj=stream) as lines:
            found = _has_lines(lines, header=0)
            while lines.read(CHUNK_BYTES):  # to the end, where the checksum is compared
                pass
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise SourceDataError(f"{where} is not a readable gzip file: {error}. {ASK_AGAIN}") from error
    return found


def _xml_has_records(stream: BinaryIO, row_tag: str, where: str) -> bool:
    found = False

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal found
        found = found or name == row_tag

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    try:
        parser.ParseFile(stream)
    except expat.ExpatError as error:
        raise SourceDataError(f"{where} is not well-formed XML: {error}. {ASK_AGAIN}") from error
    return found


def _has_lines(lines: Iterable[bytes], header: int) -> bool:
    """Whether more than `header` lines are not blank."""
    seen = 0
    for line in lines:
        seen += bool(line.strip())
        if seen > header:
            return True
    return False
