"""What a format can do: all that the platform asks of the module that reads it.

A format is a module in `millstream.formats.readers`, by its own name, with a `FORMAT`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

from pydantic import BaseModel, ConfigDict

from millstream.formats.record import Delivered, Origin, Piece, Record, Rows, Wanted


class Options(BaseModel):
    """What a contract may say of files of a format; this one has nothing to say."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Format:
    """Functions of a landed file's bytes; each reads as a stream, and raises UnreadableError with words that
    go on behind the file's name.

    records: in words, for the page on contracts. options: what a contract may say besides.
    delivered: the columns. has_records: whether there is a record; raises also where the file is not whole,
    as far as that can be seen. rows: the records in file order, of one piece or of the whole. pieces: where
    files can be cut, in parts of about a number of bytes, by what passes by; None where they cannot.
    pieces_at_end: the same, of a file that has come to its end, by its directory. packable: whether files can
    be read from their beginning to their end, and so from a packed file. nests: whether a value can be a list
    or a record. about: of files that are no tables, the record about one, in place of `rows`; columns: what
    such a record has, as a contract says it.
    """

    records: str
    delivered: Callable[[IO[bytes], Wanted], Delivered]
    has_records: Callable[[IO[bytes], Wanted], bool]
    rows: Callable[[IO[bytes], Wanted, Piece | None], Rows]
    pieces: Callable[[IO[bytes], Wanted, int], tuple[Piece, ...]] | None = None
    pieces_at_end: Callable[[IO[bytes], Wanted, int], tuple[Piece, ...]] | None = None
    packable: bool = True
    nests: bool = True
    options: type[Options] = Options
    about: Callable[[IO[bytes], Wanted, Origin], Record] | None = None
    columns: tuple[dict[str, Any], ...] = ()

    @property
    def has_pieces(self) -> bool:
        return self.pieces is not None or self.pieces_at_end is not None
