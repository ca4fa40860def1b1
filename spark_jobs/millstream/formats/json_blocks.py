"""JSON lines by the block: where the values of its lines are, for all lines of one shape at once.

A line is cut only if it surely is what its shape says: not with an escaped quote, a control character or
bytes that are not UTF-8, nor where a value is not as its shape has it. All others are for
`millstream.formats.readers.jsonl` to parse one by one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute as pc

from millstream.formats.json_shapes import Shape, shape_of
from millstream.formats.record import Layouts

LF, CR, QUOTE, BACKSLASH = b'\n\r"\\'
SPACE = 0x20
# Behind a backslash, but not a quote and not another backslash.
PLAIN_ESCAPES = np.frombuffer(b"bfnrt/u", np.uint8)
UNICODE = ord("u")
HEXADECIMAL, D, FROM_EIGHT = (
    np.frombuffer(some, np.uint8) for some in (b"0123456789abcdefABCDEF", b"dD", b"89abcdefABCDEF")
)
PRINTABLE = r"[ !#-\[\]-~]*"
WORD = 8
# To cut fewer lines of one shape takes longer than to parse them.
FEWEST_LINES = 64
# One of so many lines is looked at for its shape, but no more than the most.
LOOKED_AT = 32
MOST_LOOKED_AT = 8
Places = NDArray[np.int64]
Marks = NDArray[np.bool_]


class Cut(NamedTuple):
    """Lines of one shape: their numbers in the block, ascending, and where each leaf begins and ends."""

    shape: Shape
    lines: Places
    spans: list[tuple[Places, Places]]


class Block:
    """Whole lines. starts, ends: where they begin, and where their LF is or would be."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        padded = self._padded = np.frombuffer(content + bytes(WORD), np.uint8)
        self._bytes = padded[: len(content)]
        # The eight bytes that begin at each place.
        self._words = np.ndarray((len(content) + 1,), "<u8", padded, strides=(1,))
        ends = np.flatnonzero(self._bytes == LF)
        self._line_feeds = len(ends)
        self.ends = ends if content.endswith(b"\n") else np.append(ends, len(content))
        self.starts = np.append(0, self.ends[:-1] + 1)
        self.quotes = np.flatnonzero(self._bytes == QUOTE)
        self.first_quotes = np.searchsorted(self.quotes, self.starts)
        self.quote_counts = np.searchsorted(self.quotes, self.ends) - self.first_quotes

    def line(self, number: int) -> bytes:
        """With its line end."""
        return self.content[self.starts[number] : self.ends[number] + 1]

    @cached_property
    def has_escapes(self) -> bool:
        return b"\\" in self.content

    def blank(self) -> bool:
        """Whether a line is nothing but white space."""
        without = np.flatnonzero(self.quote_counts == 0)
        return any(self.line(number).isspace() for number in without.tolist())

    def plain(self) -> Marks:
        """Which lines have every quote in its place, and no character that JSON does not have."""
        marks = np.ones(len(self.ends), np.bool_)
        marks[self._lines_of(self._no_plain_escapes())] = False
        if np.count_nonzero(self._bytes < SPACE) != self._line_feeds:
            places = np.flatnonzero((self._bytes < SPACE) & (self._bytes != LF))
            lines = self._lines_of(places)
            before_end = (self._bytes[places] == CR) & (places == self.ends[lines] - 1)
            marks[lines[~before_end]] = False
        return marks

    @cached_property
    def printable(self) -> bool:
        """Whether there is no character that JSON as the platform writes it has an escape for."""
        return self.content.isascii() and b"\x7f" not in self.content and not self.has_escapes

    def _no_plain_escapes(self) -> Places:
        """Where a backslash is not the begin of a single character, or that is a quote or a backslash."""
        if not self.has_escapes:
            return np.zeros(0, np.int64)
        places = np.flatnonzero(self._bytes == BACKSLASH)
        kind = self._padded[places + 1]
        wrong = ~np.isin(kind, PLAIN_ESCAPES)
        coded = np.flatnonzero(kind == UNICODE)
        digits = self._padded[places[coded][:, np.newaxis] + np.arange(2, 6)]
        halves = np.isin(digits[:, 0], D) & np.isin(digits[:, 1], FROM_EIGHT)
        wrong[coded] = halves | ~np.isin(digits, HEXADECIMAL).all(axis=1)
        return places[wrong]

    def _lines_of(self, places: Places) -> Places:
        return np.searchsorted(self.ends, places)

    def has(self, places: Places, literal: bytes) -> Marks:
        """At which places it stands."""
        marks = np.ones(len(places), np.bool_)
        for offset in range(0, len(literal), WORD):
            if offset and offset + WORD > len(literal):
                offset = len(literal) - WORD
            part = literal[offset : offset + WORD]
            # Not `take`, which copies what is not aligned as a whole.
            found = self._words[np.minimum(places + offset, len(self.content))]
            if len(part) < WORD:
                found &= np.uint64((1 << 8 * len(part)) - 1)
            marks &= found == np.uint64(int.from_bytes(part, "little"))
        return marks

    def unescaped(self, texts: pa.StringArray) -> pa.StringArray:
        """Of strings as they stand in plain lines those that are meant."""
        if not self.has_escapes:
            return texts
        marks = pc.fill_null(pc.match_substring(texts, "\\"), False)
        meant = [json.loads(f'"{text}"') for text in texts.filter(marks).to_pylist()]
        return pc.replace_with_mask(texts, marks, pa.array(meant, pa.string())) if meant else texts

    def texts(self, begins: Places, ends: Places, known: Marks | None = None) -> pa.StringArray:
        """What stands between the places, which ascend; null where it is not known."""
        bounds = np.empty(2 * len(begins), np.int32)
        bounds[::2], bounds[1::2] = begins, ends
        parts = pa.StringArray.from_buffers(
            max(0, len(bounds) - 1), pa.py_buffer(bounds), pa.py_buffer(self.content)
        )
        wanted = np.arange(0, len(bounds), 2, dtype=np.int32)
        return parts.take(pa.array(wanted, mask=None if known is None else ~known))


class Cutter:
    """Cuts blocks by the shapes that it has seen, and learns new ones from their lines.

    Lines of very many shapes, as of lists of any length, are left to be parsed, after a look at few of them.
    """

    def __init__(self, layout_of: Layouts) -> None:
        self._layout_of = layout_of
        # By the number of quotes; and in which block to look again for more of them.
        self._shapes: dict[int, list[Shape]] = {}
        self._look_in: dict[int, int] = {}
        self._blocks = 0

    def cut(self, block: Block) -> tuple[list[Cut], Places]:
        """The lines that can be cut, by shape, and the numbers of the others."""
        self._blocks += 1
        everything = np.arange(len(block.ends))
        if not _is_utf_8(block.content):
            return [], everything
        plain = block.plain()
        cuts: list[Cut] = []
        left = np.ones(len(everything), np.bool_)
        counts, lines_of = np.unique(block.quote_counts[plain], return_counts=True)
        for quotes in counts[lines_of >= FEWEST_LINES].tolist():
            if quotes % 2 or not quotes:
                continue
            lines = np.flatnonzero(plain & (block.quote_counts == quotes))
            for cut in self._of(block, quotes, lines):
                cuts.append(cut)
                left[cut.lines] = False
        return cuts, everything[left]

    def _of(self, block: Block, quotes: int, lines: Places) -> Iterator[Cut]:
        """Of lines that have so many quotes."""
        known = self._shapes.get(quotes, [])
        useful = self._shapes[quotes] = []
        while len(lines) >= FEWEST_LINES:
            is_new = not known
            shape = self._common(block, quotes, lines) if is_new else known.pop()
            if shape is None:
                break
            cut = cut_by(block, shape, lines)
            if len(cut.lines):
                yield cut
                lines = np.setdiff1d(lines, cut.lines, assume_unique=True)
            if len(cut.lines) >= FEWEST_LINES:
                useful.append(shape)
            elif is_new:
                self._leave(quotes)
        useful += known

    def _common(self, block: Block, quotes: int, lines: Places) -> Shape | None:
        """A shape that seems to be that of many of the lines."""
        if self._blocks < self._look_in.get(quotes, 0):
            return None
        count = min(1 + len(lines) // LOOKED_AT, MOST_LOOKED_AT)
        looked_at = lines[np.linspace(0, len(lines) - 1, count, dtype=np.int64)].tolist()
        shapes = [
            shape
            for number in looked_at
            if (shape := shape_of(block.content[block.starts[number] : block.ends[number]], self._layout_of))
        ]
        common = max(shapes, key=shapes.count, default=None)
        if common is not None and (shapes.count(common) > 1 or count == 1):
            return common
        self._leave(quotes)
        return None

    def _leave(self, quotes: int) -> None:
        """Until there were as many blocks again: so looks in vain stay few, however long the file is."""
        self._look_in[quotes] = 2 * self._blocks


def _is_utf_8(content: bytes) -> bool:
    if content.isascii():
        return True
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def cut_by(block: Block, shape: Shape, lines: Places) -> Cut:
    """Those of the lines, each with as many quotes as the shape, that are of this shape."""
    spans: list[tuple[Places, Places]] = []
    places, first_quotes, line_ends = block.starts[lines], block.first_quotes[lines], block.ends[lines]
    fits = np.ones(len(lines), np.bool_)
    for leaf in shape.leaves:
        fits &= block.has(places, leaf.before)
        if not fits.any():
            return Cut(shape, lines[:0], [])
        begins = places + len(leaf.before)
        ends = line_ends if leaf.quote == shape.quotes else block.quotes[first_quotes + leaf.quote]
        if leaf.form is not None:
            ends = ends - leaf.behind
            fits &= begins < ends
        spans.append((begins, ends))
        places = ends
    fits &= block.has(places, shape.end)
    fits &= places + len(shape.end) == line_ends
    nested = set() if block.printable else shape.nested
    for number, (leaf, (begins, ends)) in enumerate(zip(shape.leaves, spans, strict=True)):
        form = PRINTABLE if leaf.form is None and number in nested else leaf.form
        if form is None or not fits.any():
            continue
        chosen = np.flatnonzero(fits)
        matches = pc.match_substring_regex(block.texts(begins[chosen], ends[chosen]), f"^(?:{form})$")
        fits[chosen] = matches.to_numpy(zero_copy_only=False)
    return Cut(shape, lines[fits], [(begins[fits], ends[fits]) for begins, ends in spans])
