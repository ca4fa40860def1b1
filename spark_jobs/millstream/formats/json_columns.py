"""JSON lines as columns: of lines that were cut by their shape, and of those that were parsed beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import compute as pc

from millstream.formats.json_blocks import Block, Cut, Marks, Places
from millstream.formats.json_shapes import Field
from millstream.formats.record import Columns, Record, Wanted, added_as_json

NULL = b"null"


class _Texts(NamedTuple):
    """The texts of some lines: their numbers in the block, ascending."""

    lines: Places
    values: pa.StringArray


def columns_of(
    block: Block, cuts: Sequence[Cut], others: Sequence[tuple[int, Record]], contract: Wanted
) -> Columns:
    """All lines of a block; `others` by number."""
    rows = len(block.ends)
    parsed = np.array([number for number, _ in others], np.int64)
    values = []
    for place in range(len(contract.column_names)):
        column = _Column(block)
        for cut in cuts:
            name = cut.shape.layout.delivered[place]
            if name is not None:
                column.add(cut, cut.shape.fields[name])
        own = [None if record.values is None else record.values[place] for _, record in others]
        column.beside.append(_Texts(parsed, pa.array(own, pa.string())))
        values.append(column.texts())
    errors, raws, added = _nothing(rows), _nothing(rows), _nothing(rows)
    for number, record in others:
        errors[number], raws[number], added[number] = record.error, record.raw, record.added
    for cut in cuts:
        for number, text in zip(cut.lines.tolist(), _added(block, cut), strict=False):
            added[number] = text
    return Columns(rows, values, added, errors, raws)


def _nothing(rows: int) -> list[str | None]:
    return [None] * rows


def _added(block: Block, cut: Cut) -> list[str]:
    names = cut.shape.layout.added
    return added_as_json({name: _texts(block, cut, name).to_pylist() for name in names}) or []


def _texts(block: Block, cut: Cut, name: str) -> pa.StringArray:
    field = cut.shape.fields[name]
    if field.around is not None:
        return _joined(block, cut, field)
    begins, ends = cut.spans[field.first]
    return block.unescaped(block.texts(begins, ends, _known(block, cut, field)))


def _known(block: Block, cut: Cut, field: Field) -> Marks:
    """Which values are not null."""
    begins, _ = cut.spans[field.first]
    if cut.shape.leaves[field.first].form is None:
        return np.ones(len(begins), np.bool_)
    return ~block.has(begins, NULL)


def _joined(block: Block, cut: Cut, field: Field) -> pa.StringArray:
    """A list or an object as it is written as JSON."""
    around = field.around or ()
    parts: list[Any] = [pa.repeat(around[0], len(cut.lines))]
    for (begins, ends), text in zip(cut.spans[field.first : field.last], around[1:], strict=True):
        parts += [block.texts(begins, ends), text]
    return pc.binary_join_element_wise(*parts, "")


class _Column:
    """One column of a block: cut out of it, but where its text is not there as it is."""

    def __init__(self, block: Block) -> None:
        self._block = block
        # What ascends, where nothing is to be cut.
        self._begins, self._ends = block.starts.copy(), block.starts.copy()
        self._known = np.zeros(len(block.starts), np.bool_)
        self.beside: list[_Texts] = []

    def add(self, cut: Cut, field: Field) -> None:
        if field.around is not None:
            self.beside.append(_Texts(cut.lines, _joined(self._block, cut, field)))
            return
        self._begins[cut.lines], self._ends[cut.lines] = cut.spans[field.first]
        self._known[cut.lines] = _known(self._block, cut, field)

    def texts(self) -> pa.StringArray:
        texts = self._block.unescaped(self._block.texts(self._begins, self._ends, self._known))
        lines = np.concatenate([one.lines for one in self.beside])
        if not len(lines):
            return texts
        values = pa.concat_arrays([one.values for one in self.beside]).take(pa.array(np.argsort(lines)))
        marks = np.zeros(len(texts), np.bool_)
        marks[lines] = True
        return pc.replace_with_mask(texts, pa.array(marks), values)
