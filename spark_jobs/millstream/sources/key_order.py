"""The order of a table's key, of one column or several: where a batch ends, and what lies behind it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, and_, or_

from millstream.sources.ordering import Order


class KeyOrder:
    """Rows in the order of `columns`. A place among them is a text; of several columns a JSON list."""

    def __init__(self, columns: Sequence[Column[Any]], dialect: str, by_bytes: bool = False) -> None:
        self.columns = tuple(columns)
        self.orders = tuple(Order(column, dialect, by_bytes=by_bytes) for column in columns)

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    @property
    def expressions(self) -> list[ColumnElement[Any]]:
        """What is compared and sorted by."""
        return [order.expression for order in self.orders]

    @property
    def is_as_stored(self) -> bool:
        """Whether values are compared as they are: two spellings of a moment are two texts."""
        pairs = zip(self.expressions, self.columns, strict=True)
        return all(expression is column for expression, column in pairs)

    def text(self, values: Sequence[Any]) -> str:
        """The place of a row with these values."""
        texts = [order.text(value) for order, value in zip(self.orders, values, strict=True)]
        return texts[0] if len(texts) == 1 else json.dumps(texts)

    def behind(self, place: str) -> ColumnElement[bool]:
        """Holds for the rows behind `place`."""
        *equal, last = self._bounds(place)
        condition: ColumnElement[bool] = last[0] > last[1]
        for expression, bound in reversed(equal):
            # The first comparison alone lets the database begin in its index.
            condition = and_(expression >= bound, or_(expression > bound, condition))
        return condition

    def upto(self, place: str) -> ColumnElement[bool]:
        """Holds for the rows before `place`, and the one at it."""
        *equal, last = self._bounds(place)
        condition: ColumnElement[bool] = last[0] <= last[1]
        for expression, bound in reversed(equal):
            condition = and_(expression <= bound, or_(expression < bound, condition))
        return condition

    def _bounds(self, place: str) -> list[tuple[ColumnElement[Any], Any]]:
        texts = [place] if len(self.orders) == 1 else json.loads(place)
        return [(order.expression, order.bound(text)) for order, text in zip(self.orders, texts, strict=True)]
