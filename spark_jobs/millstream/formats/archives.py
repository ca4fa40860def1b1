"""Packed files: gzip, bzip2, Zstandard, and a zip file that holds one file."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import PurePosixPath
from typing import IO, Any, cast

from millstream.errors import printable
from millstream.file_kinds import HEAD_BYTES, kind_of
from millstream.formats.format import Format
from millstream.formats.record import Delivered, Piece, Rows, UnreadableError, Wanted

# What operating systems put beside a person's files.
_SYSTEM_FOLDERS = frozenset({"__MACOSX", "$RECYCLE.BIN", ".Trashes"})
_SYSTEM_FILES = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
_SHOWN = 10
_BEGINNINGS = {"zip": b"PK", "gzip": b"\x1f\x8b", "bzip2": b"BZh", "Zstandard": b"\x28\xb5\x2f\xfd"}
CHUNK_BYTES = 1 << 20
# An OSError without a number comes from bzip2, gzip and Zstandard; those of the operating system have it.
_DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError)


@contextmanager
def unzipped(stream: IO[bytes], whole: bool = False) -> Iterator[IO[bytes]]:
    """The one file in a zip file; `whole` compares the checksums of all first.

    Raises: UnreadableError: no zip file, a damaged one, or one that holds more files, or none.
    """
    with _readable(stream, "zip"), _archive(stream) as archive, _opened(archive, whole) as content:
        yield content


# What Python raises for a damaged directory; RuntimeError also for an encrypted member, and for one that is
# packed in a way that it does not know.
_DIRECTORY_DAMAGE = (RuntimeError, ValueError, OverflowError, struct.error)


def _archive(stream: IO[bytes]) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(stream)
    except _DIRECTORY_DAMAGE as error:
        raise zipfile.BadZipFile(str(error)) from error


def _opened(archive: zipfile.ZipFile, whole: bool) -> IO[bytes]:
    member = _only_member(archive)
    try:
        if whole and (damaged := archive.testzip()) is not None:
            raise zipfile.BadZipFile(f"bad checksum of {damaged}")
        return archive.open(member)
    except _DIRECTORY_DAMAGE as error:
        raise zipfile.BadZipFile(str(error)) from error


@contextmanager
def gunzipped(stream: IO[bytes], whole: bool = False) -> Iterator[IO[bytes]]:
    """The content of a gzip file, whose checksum is compared when it has been read to its end.

    Raises: UnreadableError: no gzip file, or a damaged one.
    """
    with _readable(stream, "gzip"), gzip.GzipFile(fileobj=stream) as content:
        yield cast(IO[bytes], content)


@contextmanager
def bunzipped(stream: IO[bytes], whole: bool = False) -> Iterator[IO[bytes]]:
    """The content of a bzip2 file, of one stream or several; each block and each stream has a checksum.

    Raises: UnreadableError: no bzip2 file, a damaged one, or one with something else behind its streams.
    """
    with _readable(stream, "bzip2"), io.BufferedReader(_Bzip2Streams(stream), CHUNK_BYTES) as content:
        yield cast(IO[bytes], content)


class _Bzip2Streams(io.RawIOBase):
    """Every stream of a file, as pbzip2 writes them.

    `bz2.BZ2File` takes a later stream whose beginning is damaged for garbage, and ends before it.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._decompressor = bz2.BZ2Decompressor()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            packed_bytes = b""
            if self._decompressor.eof:
                packed_bytes = self._decompressor.unused_data or self._stream.read(CHUNK_BYTES)
                if not packed_bytes:
                    return 0
                self._decompressor = bz2.BZ2Decompressor()
            elif self._decompressor.needs_input:
                packed_bytes = self._stream.read(CHUNK_BYTES)
                if not packed_bytes:
                    raise EOFError("it was cut off")
            content = self._decompressor.decompress(packed_bytes, len(buffer))
            if content:
                buffer[: len(content)] = content
                return len(content)


@contextmanager
def unzstandard(stream: IO[bytes], whole: bool = False) -> Iterator[IO[bytes]]:
    """The content of a Zstandard file, whose checksums are compared where it has some.

    Arrow reads it: the reader of `zstandard` takes a file that was cut off for a whole one.
    Raises: UnreadableError: no Zstandard file, or a damaged one.
    """
    import pyarrow as pa

    with _readable(stream, "Zstandard"):
        opened = pa.CompressedInputStream(pa.PythonFile(_Borrowed(stream), "r"), "zstd")
        yield cast(IO[bytes], io.BufferedReader(opened, CHUNK_BYTES))


class _Borrowed:
    """A stream that its reader must not close: Arrow's does at its own end."""

    closed = False

    def __init__(self, stream: IO[bytes]) -> None:
        self.read = stream.read

    def close(self) -> None:
        pass


@contextmanager
def _readable(stream: IO[bytes], kind: str) -> Iterator[None]:
    """What a damaged file raises, in words; what it may be instead."""
    try:
        yield
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        stream.seek(0)
        head = stream.read(HEAD_BYTES)
        other = "" if head.startswith(_BEGINNINGS[kind]) else f"; it is {kind_of(head)}"
        raise UnreadableError(f"is not a readable {kind} file: {printable(str(error))}{other}") from error


def _only_member(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    # `is_dir` of Python 3.11 looks for the last character of a name that is empty in a damaged file.
    members = [
        info for info in archive.infolist() if not info.filename.endswith("/") and not _is_of_the_system(info)
    ]
    if len(members) == 1:
        return members[0]
    names = ", ".join(printable(info.filename) for info in members[:_SHOWN])
    more = f" and {len(members) - _SHOWN} more" if len(members) > _SHOWN else ""
    raise UnreadableError(f"holds {len(members)} files{f' ({names}{more})' if names else ''}: expected one")


def _is_of_the_system(info: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(info.filename)
    return path.name in _SYSTEM_FILES or not _SYSTEM_FOLDERS.isdisjoint(path.parts[:-1])


# Opens what a packed file holds; `whole`: its checksum is compared at the end, or has been at the beginning.
Unpack = Callable[[IO[bytes], bool], AbstractContextManager[IO[bytes]]]
PACKINGS: dict[str, Unpack] = {"gz": gunzipped, "bz2": bunzipped, "zst": unzstandard, "zip": unzipped}


def packed(unpack: Unpack, inner: Format) -> Format:
    """`inner` in a packed file, which is read to its end where it has to be whole."""

    def delivered(stream: IO[bytes], contract: Wanted) -> Delivered:
        with unpack(stream, False) as content:
            return inner.delivered(content, contract)

    def has_records(stream: IO[bytes], contract: Wanted) -> bool:
        with unpack(stream, True) as content:
            some = inner.has_records(content, contract)
            while content.read(CHUNK_BYTES):
                pass
            return some

    def rows(stream: IO[bytes], contract: Wanted, piece: Piece | None) -> Rows:
        with unpack(stream, False) as content:
            yield from inner.rows(content, contract, None)

    return replace(
        inner, delivered=delivered, has_records=has_records, rows=rows, pieces=None, pieces_at_end=None
    )
