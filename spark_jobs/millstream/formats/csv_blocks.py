"""CSV by the block: blocks of lines with every quote in its place, which most files are made of.

Their records are counted without reading them, and Arrow's reader takes them, many times as fast as Python's
(`python -m bench.decode`). All others are for `millstream.formats.csv_lines`; what is taken is read alike.
"""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Callable
from typing import NamedTuple

from millstream.contracts.contract import Contract
from millstream.formats.record import Columns
from millstream.formats.text_lines import line_ends

# A field beyond it began with a quote that nobody has closed. Python's own limit, 131,072, is for whole
# processes too.
LONGEST_FIELD = 1 << 24
csv.field_size_limit(LONGEST_FIELD)
COMMA, LF, CR, QUOTE = b',\n\r"'


class Regular(NamedTuple):
    """The beginning of a block: its length in bytes, and how many records it has."""

    size: int
    records: int


def regular(block: bytes) -> Regular | None:
    """The records at the beginning of a block of whole lines, if every quote there is in its place: each that
    opens a field behind a comma or a line end, each that closes one before them. None if there are none."""
    if len(block) > LONGEST_FIELD:
        return None
    if b'"' not in block:
        return Regular(len(block), line_ends(block))
    if b"\r" in block and block.count(b"\r") != block.count(b"\r\n"):
        return None
    import numpy as np

    content = np.frombuffer(block, np.uint8)
    quotes, ends = np.flatnonzero(content == QUOTE), np.flatnonzero(content == LF)
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
    if not np.isin(around, (COMMA, LF, CR, QUOTE)).all():
        return None
    return Regular(size, len(ends) + (content[size - 1] != LF))


def plain_reader(header: list[str], contract: Contract) -> Callable[[bytes, int], Columns | None]:
    """What reads `regular` records, so many, behind `header`.

    Its answer is None where one of them may be no row, or no good one.
    """
    import pyarrow as pa
    from pyarrow import csv

    layout = contract.layout(header)
    wanted = {*layout.delivered, *layout.added} - {None}
    parse = csv.ParseOptions(newlines_in_values=True)
    convert = csv.ConvertOptions(
        column_types=dict.fromkeys(header, pa.string()),
        include_columns=[name for name in header if name in wanted],
        null_values=[],
        strings_can_be_null=False,
        check_utf8=False,
    )

    def read(block: bytes, records: int) -> Columns | None:
        # A line of white space may be a row of one field.
        if len(header) == 1 or not _is_plain(block):
            return None
        # Of one Arrow block, and so in one chunk.
        options = csv.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=header)
        try:
            table = csv.read_csv(pa.BufferReader(block), options, parse, convert)
        except pa.ArrowInvalid:
            # Of another width than the header.
            return None
        if table.num_rows != records:
            # Empty lines are left out.
            return None
        columns = {name: table[name].combine_chunks() for name in table.column_names}
        return Columns(
            table.num_rows,
            [None if name is None else columns[name] for name in layout.delivered],
            _as_json({name: columns[name].to_pylist() for name in layout.added}),
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


def _as_json(added: dict[str, list[str]]) -> list[str] | None:
    if not added:
        return None
    return [json.dumps(dict(zip(added, row, strict=True))) for row in zip(*added.values(), strict=True)]
