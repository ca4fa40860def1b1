"""Packed files: gzip, and a zip file that holds one file."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import IO, cast

from millstream.formats.recognised import HEAD_BYTES, kind_of
from millstream.formats.record import UnreadableError, printable

# What operating systems put beside a person's files.
_SYSTEM_FOLDERS = frozenset({"__MACOSX", "$RECYCLE.BIN", ".Trashes"})
_SYSTEM_FILES = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
_SHOWN = 10
_DAMAGE = (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError)


@contextmanager
def unzipped(stream: IO[bytes], whole: bool = False) -> Iterator[IO[bytes]]:
    """The one file in a zip file; `whole` compares the checksums of all first.

    Raises: UnreadableError: no zip file, a damaged one, or one that holds more files, or none.
    """
    with (
        _readable(stream, "zip"),
        zipfile.ZipFile(stream) as archive,
        _opened(archive, _only_member(archive), whole) as content,
    ):
        yield content


def _opened(archive: zipfile.ZipFile, member: zipfile.ZipInfo, whole: bool) -> IO[bytes]:
    try:
        if whole and (damaged := archive.testzip()) is not None:
            raise zipfile.BadZipFile(f"bad checksum of {printable(damaged)}")
        return archive.open(member)
    except RuntimeError as error:
        # The member is encrypted, or packed in a way that Python does not know.
        raise zipfile.BadZipFile(printable(str(error))) from error


@contextmanager
def gunzipped(stream: IO[bytes]) -> Iterator[IO[bytes]]:
    """The content of a gzip file; UnreadableError for no gzip file, or a damaged one."""
    with _readable(stream, "gzip"), gzip.GzipFile(fileobj=stream) as content:
        yield cast(IO[bytes], content)


@contextmanager
def _readable(stream: IO[bytes], kind: str) -> Iterator[None]:
    """What a damaged file raises, in words; what it may be instead."""
    try:
        yield
    except _DAMAGE as error:
        stream.seek(0)
        head = stream.read(HEAD_BYTES)
        other = "" if head.startswith((b"PK", b"\x1f\x8b")[kind == "gzip"]) else f"; it is {kind_of(head)}"
        raise UnreadableError(f"is not a readable {kind} file: {error}{other}") from error


def _only_member(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = [info for info in archive.infolist() if not info.is_dir() and not _is_of_the_system(info)]
    if len(members) == 1:
        return members[0]
    names = ", ".join(printable(info.filename) for info in members[:_SHOWN])
    more = f" and {len(members) - _SHOWN} more" if len(members) > _SHOWN else ""
    raise UnreadableError(f"holds {len(members)} files{f' ({names}{more})' if names else ''}: expected one")


def _is_of_the_system(info: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(info.filename)
    return path.name in _SYSTEM_FILES or not _SYSTEM_FOLDERS.isdisjoint(path.parts[:-1])
