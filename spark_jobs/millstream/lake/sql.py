"""Values in Spark's SQL."""

from __future__ import annotations

from collections.abc import Iterable


def literal(text: str) -> str:
    """`text` as a SQL string literal of Spark's, whatever it holds."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    # Spark puts the value of a setting for `${its.name}` before it parses anything.
    return "'" + escaped.replace("$", "\\u0024") + "'"


def is_one_of(expression: str, values: Iterable[str]) -> str:
    """The condition that `expression` is one of `values`."""
    return f"{expression} IN ({', '.join(map(literal, values))})"


def between(column: str, least: str, greatest: str) -> str:
    """The condition that a column of text lies between these values; Delta reads no file without such."""
    return f"{column} BETWEEN {literal(least)} AND {literal(greatest)}"
