"""The shape of a JSON line: all of it but its values, which the lines of most files have in common.

Of a line without an escaped quote or backslash every quote opens or closes a string. So a line has the shape
of another if what stands between the values is the same, byte for byte, and each value is of the same kind: a
string, or a number, `true`, `false` or `null`. Then it is an object of the same names, none of them twice.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from millstream.formats.json_values import parse, text_of
from millstream.formats.record import Layout, Layouts

# RE2, as Arrow has it. -0 is a whole number, which is written as 0.
_NUMBER = r"0|-?[1-9][0-9]*|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+(?:[eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)"
BARE = rf"(?:{_NUMBER}|true|false|null)"
# With more of them a line hardly has its shape in common with many, and RE2 has a bound for a pattern.
MOST_VALUES = 256
_PART = re.compile(r'"(?:[^"\\]|\\[^"\\])*"|[\[\]{},:]|[ \t\r]+|[^\[\]{},:" \t\r]+')


class Leaf(NamedTuple):
    """A value with no value in it, or what stands between two quotes and has several bare ones.

    before: what stands between it and the leaf before, or the line's begin; with the quote of a string.
    form: a regular expression of a bare value; None of a string. quote: the number of the quote that comes
    next. behind: how many bytes stand between a bare value and that quote, or the line's end.
    """

    before: bytes
    form: str | None
    quote: int
    behind: int


class Field(NamedTuple):
    """Which leaves of its shape a field has, from one to before another, and what stands around them in its
    text, which is JSON; nothing around a single value, whose text is its own."""

    first: int
    last: int
    around: tuple[str, ...] | None


class Shape(NamedTuple):
    """quotes: how many a line has. end: what follows the last leaf. fields: by name. layout: how they are
    read."""

    quotes: int
    leaves: tuple[Leaf, ...]
    end: bytes
    fields: dict[str, Field]
    layout: Layout

    @property
    def nested(self) -> set[int]:
        """The leaves of lists and objects."""
        fields = (field for field in self.fields.values() if field.around is not None)
        return {number for field in fields for number in range(field.first, field.last)}


def shape_of(line: bytes, layout_of: Layouts) -> Shape | None:
    """The shape of a line without its line end, in which no quote or backslash is escaped; None if lines like
    it are no good records, or there is more to reading them than cutting out their values."""
    try:
        text = line.decode()
        if sum(part.count(",") for part in text.split('"')[::2]) >= MOST_VALUES:
            return None
        record = parse(text)
        if not isinstance(record, dict):
            return None
        texts = {name: text_of(value) for name, value in record.items()}
    except (ValueError, RecursionError):
        return None
    named = layout_of(tuple(record))
    if named.wrong or named.layout.missing:
        return None
    read = _Reader(text)
    if len(read.spans) != len(record):
        return None
    fields = {}
    for (name, value), (first, last) in zip(record.items(), read.spans, strict=True):
        around = None
        if isinstance(value, dict | list):
            around = _around(str(texts[name]), read.leaves[first:last])
            if around is None:
                return None
        fields[name] = Field(first, last, around)
    return Shape(text.count('"'), tuple(read.leaves), read.between.encode(), fields, named.layout)


def _around(text: str, leaves: list[Leaf]) -> tuple[str, ...] | None:
    """What stands around the leaves of a list or an object in its `text`; None if they are not the same there
    as in its line."""
    if "\\" in text:
        return None
    written = _Reader(text)
    if [leaf.form for leaf in written.leaves] != [leaf.form for leaf in leaves]:
        return None
    return (*(leaf.before.decode() for leaf in written.leaves), written.between)


class _Reader:
    """Reads a JSON text in which no quote or backslash is escaped. spans: of each field of an object its
    leaves, from one to before another. between: what has been read since the last leaf."""

    def __init__(self, text: str) -> None:
        self.leaves: list[Leaf] = []
        self.spans: list[tuple[int, int]] = []
        self.between = ""
        self._quotes = 0
        depth = first = 0
        parts = _PART.findall(text)
        for place, part in enumerate(parts):
            if part[0] == '"':
                behind = "".join(parts[place + 1 : place + 3]).lstrip()
                self._string(part, behind.startswith(":"))
            elif part.isspace() or part in "[]{},:":
                depth += (part in "[{") - (part in "]}")
                if part == ":" and depth == 1:
                    first = len(self.leaves)
                elif (part == "," and depth == 1) or (part == "}" and depth == 0):
                    self.spans.append((first, len(self.leaves)))
                self.between += part
            else:
                self._bare()
        self._bare_ends()

    def _string(self, part: str, is_name: bool) -> None:
        self._bare_ends()
        if is_name:
            self.between += part
        else:
            self.leaves.append(Leaf(f'{self.between}"'.encode(), None, self._quotes + 1, 0))
            self.between = '"'
        self._quotes += 2

    def _bare(self) -> None:
        last = self.leaves[-1] if self.leaves else None
        if last and last.form is not None and last.quote == self._quotes:
            # A list of numbers: where each ends cannot be told from the quotes.
            self.leaves[-1] = last._replace(form=last.form + re.escape(self.between) + BARE)
        else:
            self.leaves.append(Leaf(self.between.encode(), BARE, self._quotes, 0))
        self.between = ""

    def _bare_ends(self) -> None:
        """A quote comes next, or the end."""
        last = self.leaves[-1] if self.leaves else None
        if last and last.form is not None and last.quote == self._quotes:
            self.leaves[-1] = last._replace(behind=len(self.between.encode()))
