"""Bytes on their way from a source into the lake: seen once, whatever their number."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from typing import IO, BinaryIO

from millstream.formats.record import Piece
from millstream.lake.storage import NewFile

CHUNK_BYTES = 1 << 20

# Says, from the bytes that pass by, in which pieces they can be read.
Split = Callable[[IO[bytes]], tuple[Piece, ...]]
# Raises when received bytes are no good; says, of those that have a directory, in which pieces they can be
# read.
Check = Callable[[BinaryIO], tuple[Piece, ...]]


def in_one_piece(stream: IO[bytes]) -> tuple[Piece, ...]:
    """The `Split` of what can only be read as a whole."""
    return ()


def unchecked(stream: BinaryIO) -> tuple[Piece, ...]:
    """The `Check` of what an extractor has made itself."""
    return ()


class Received(io.RawIOBase):
    """A source's bytes; each that is read has been written to `new`, counted, and is in the checksum."""

    def __init__(self, source: BinaryIO, new: NewFile) -> None:
        self._source = source
        self._new = new
        self._digest = hashlib.sha256()
        self.size = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = CHUNK_BYTES) -> bytes:
        chunk = self._source.read(size)
        self._digest.update(chunk)
        self.size += len(chunk)
        self._new.write(chunk)
        return chunk

    def drain(self) -> None:
        """Read what nobody has asked for."""
        while self.read():
            pass

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()
