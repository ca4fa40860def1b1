"""CSV by the block: blocks of lines with every quote in its place, which most files are made of.

Their records are counted without reading them, and Arrow's reader takes them, many times as fast as Python's
(`python -m bench.decode`). All others are for `millstream.formats.readers.csv`; what is taken is read alike.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Callable
from typing import NamedTuple

from millstream.formats.csv_dialect import Options
from millstream.formats.record import Columns, Wanted, added_as_json
from millstream.formats.text_lines import line_ends

# A field beyond it began with a quote that nobody has closed. Python's own limit, 131,072, is for whole
# processes too.
LONGEST_FIELD = 1 << 24
csv.field_size_limit(LONGEST_FIELD)
LF, CR = b"\n\r"
# No header has a zero byte.
BEHIND = "\x00 behind the last delimiter"


class Regular(NamedTuple):
    """The beginning of a block: its length in bytes, and how many records it has."""

    size: int
    records: int


def regular(block: bytes, dialect: Options) -> Regular | None:
    """The records at the beginning of a block of whole lines, if every quote there is in its place: each that
    opens a field behind a delimiter or a line end, each that closes one before them. None if there are none,
    or an escaped character or a comment is among them."""
    if len(block) > LONGEST_FIELD or _has_exceptions(block, dialect):
        return None
    if dialect.quote is None or dialect.quote.encode() not in block:
        return Regular(len(block), line_ends(block))
    quote, delimiter = ord(dialect.quote), ord(dialect.delimiter)
    if b"\r" in block and block.count(b"\r") != block.count(b"\r\n"):
        return None
    import numpy as np

    content = np.frombuffer(block, np.uint8)
    quotes, ends = np.flatnonzero(content == quote), np.flatnonzero(content == LF)
    # Behind an odd number of quotes a line ends within a field.
    ends = ends[np.searchsorted(quotes, ends) % 2 == 0]
    size = len(block)
    if len(quotes) % 2:
        if not len(ends):
            return None
        size = int(ends[-1]) + 1
        quotes = quotes[quotes < size]
    # Beyond the block on either side there is a line end; two quotes in a field are one that closes and one
    # that opens.
    framed = np.concatenate(([LF], content[:size], [LF]))
    around = np.concatenate((framed[quotes[::2]], framed[quotes[1::2] + 2]))
    if not np.isin(around, (delimiter, LF, CR, quote)).all():
        return None
    return Regular(size, len(ends) + (content[size - 1] != LF))


def _has_exceptions(block: bytes, dialect: Options) -> bool:
    if dialect.escape is not None and dialect.escape.encode() in block:
        return True
    if dialect.comment is None:
        return False
    comment = dialect.comment.encode()
    return block.startswith(comment) or b"\n" + comment in block or b"\r" + comment in block


def plain_reader(header: list[str], contract: Wanted) -> Callable[[bytes, int], Columns | None]:
    """What reads `regular` records, so many, behind `header`.

    Its answer is None where one of them may be no row, or no good one.
    """
    import pyarrow as pa
    from pyarrow import csv

    dialect: Options = contract.format_options
    layout = contract.layout(header)
    wanted = {*layout.delivered, *layout.added} - {None}
    names = [*header, BEHIND] if dialect.trailing_delimiter else header
    parse = csv.ParseOptions(
        delimiter=dialect.delimiter, quote_char=dialect.quote or False, newlines_in_values=True
    )
    convert = csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()),
        include_columns=[name for name in names if name in wanted or name == BEHIND],
        null_values=[],
        strings_can_be_null=False,
        check_utf8=False,
    )

    def read(block: bytes, records: int) -> Columns | None:
        # A line of white space may be a row of one field.
        if len(names) == 1 or not _is_plain(block):
            return None
        # Of one Arrow block, and so in one chunk.
        options = csv.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=names)
        try:
            table = csv.read_csv(pa.BufferReader(block), options, parse, convert)
        except pa.ArrowInvalid:
            # Of another width than the header.
            return None
        if table.num_rows != records:
            # Empty lines are left out.
            return None
        columns = {name: table[name].combine_chunks() for name in table.column_names}
        if dialect.trailing_delimiter and any(columns[BEHIND].to_pylist()):
            return None
        return Columns(
            table.num_rows,
            [None if name is None else columns[name] for name in layout.delivered],
            added_as_json({name: columns[name].to_pylist() for name in layout.added}),
        )

    return read


def _is_plain(block: bytes) -> bool:
    """UTF-8 without a zero byte, a mark that Arrow leaves out, or a CR for a line end."""
    if b"\x00" in block or block.startswith(codecs.BOM_UTF8):
        return False
    if b"\r" in block and block.count(b"\r") != block.count(b"\r\n"):
        return False
    if not block.isascii():
        try:
            block.decode()
        except UnicodeDecodeError:
            return False
    return True
