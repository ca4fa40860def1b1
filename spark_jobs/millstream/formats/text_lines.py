"""The lines of a stream of any length, one by one as text, or by the block as bytes."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import IO

from millstream.formats.record import Piece, UnreadableError

BLOCK_BYTES = 1 << 20
# What has no line end for so long is no text; a block has to hold a line.
LONGEST_LINE = 1 << 26


class Lines:
    """Lines that end with LF, CR or both, of a whole stream or of one `piece` of it.

    Bytes that are not UTF-8 become lone surrogates; a mark at the stream's beginning is left out.

    Raises: UnreadableError: a line of more than `LONGEST_LINE` bytes, or the stream ends before its piece.
    """

    def __init__(self, stream: IO[bytes], piece: Piece | None = None, block_bytes: int = BLOCK_BYTES) -> None:
        # Where the last line that was handed out ends.
        self.position = piece.offset if piece else 0
        if piece:
            stream.seek(piece.offset)
        self._stream = stream
        self._left = piece.length if piece else None
        self._block_bytes = block_bytes
        self._block = b""
        self._lines: Iterator[bytes] = iter(())
        self._rest = b""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines, None)
        if line is None:
            block, self._block = self.block(), b""
            if not block:
                raise StopIteration
            self._lines = iter(block.splitlines(keepends=True))
            line = next(self._lines)
        if self.position == 0:
            self.position = len(line)
            return line.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape")
        self.position += len(line)
        return line.decode("utf-8", "surrogateescape")

    def block(self) -> bytes:
        """The whole lines that come next, about `block_bytes` of them, not handed out; empty at the end."""
        if not self._block:
            self._block = b"".join(self._lines) or self._read_block()
        return self._block

    def skip(self, size: int) -> None:
        """Hand out the first `size` bytes of `block()` at once; the next block begins behind them."""
        self.position += size
        self._block, self._rest = b"", self._block[size:] + self._rest

    def head(self, size: int) -> bytes:
        """Up to `size` bytes of what comes next, not handed out."""
        return (self.block() + self._rest)[:size]

    def _read_block(self) -> bytes:
        parts, length = [self._rest], len(self._rest)
        while chunk := self._chunk():
            # The line end of a CR that comes last may go on.
            end = max(chunk.rfind(b"\n"), chunk.rfind(b"\r", 0, -1)) + 1
            if end:
                self._rest = chunk[end:]
                return b"".join([*parts, chunk[:end]])
            parts.append(chunk)
            length += len(chunk)
            if length > LONGEST_LINE:
                raise _too_long()
        self._rest = b""
        return b"".join(parts)

    def _chunk(self) -> bytes:
        if self._left is None:
            return self._stream.read(self._block_bytes)
        chunk = self._stream.read(min(self._block_bytes, self._left))
        if self._left and not chunk:
            raise UnreadableError(f"is {self._left:,} bytes shorter than when it landed")
        self._left -= len(chunk)
        return chunk


def line_blocks(stream: IO[bytes], block_bytes: int) -> Iterator[bytes]:
    """The lines of a stream that end with LF, as many whole ones at once as have about `block_bytes`.

    Raises: UnreadableError: one has more than `LONGEST_LINE` bytes.
    """
    while block := stream.read(block_bytes):
        if not block.endswith(b"\n"):
            block += stream.readline(LONGEST_LINE + 1)
        if len(block) - block.rfind(b"\n", 0, -1) - 1 > LONGEST_LINE:
            raise _too_long()
        yield block


def _too_long() -> UnreadableError:
    return UnreadableError(f"has a line of more than {LONGEST_LINE:,} bytes")


def line_ends(block: bytes) -> int:
    """How many lines a block of whole lines has; the last one of a stream may have no end."""
    ends = block.count(b"\n")
    if b"\r" in block:
        ends += block.count(b"\r") - block.count(b"\r\n")
    return ends + (not block.endswith((b"\n", b"\r")))
