"""What a model is to learn, as far as its label says it: yes or no, one of several classes, or a number.

A label that is a column is known by the column's values, once the table has been published; any other by its
SQL.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import sqlglot
from pyspark.sql import types as T
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.annotate_types import annotate_types

from millstream.errors import ConfigurationError
from millstream.lake import history
from millstream.lake.tables import TableRef
from millstream.ml.spec import Objective

# More are no classes, but names or words.
MOST_CLASSES = 50
# Of fewer rows a part of the split may well get none.
FEWEST_ROWS = 40
# Whole numbers that may be the names of classes.
FEW_NUMBERS = 10
SHOWN = 5


@dataclass(frozen=True)
class Label:
    """A label as the declaration has it: SQL, what it is, its classes, what is not sure about it, and the
    columns that it is made of."""

    sql: str
    objective: Objective
    classes: tuple[str, ...] = ()
    unsure: tuple[str, ...] = ()
    columns: frozenset[str] = frozenset()


def label_of(sql: str, table: TableRef, schema: T.StructType, lake_root: str) -> Label:
    """What the label `sql`, over the columns `schema` of `table`, is.

    Raises: ConfigurationError when it is no SQL over these columns, when nothing can be learnt from it, or
        when what it is cannot be seen.
    """
    kinds = {one.name: one.dataType for one in schema.fields}
    expression = _parsed(sql, table, kinds)
    columns = frozenset(one.name for one in expression.find_all(exp.Column))
    if isinstance(expression, exp.Column):
        label = _of_column(expression.name, table, kinds, lake_root)
    else:
        label = _of_expression(sql, expression, table, kinds)
    return Label(label.sql, label.objective, label.classes, label.unsure, columns)


def _parsed(sql: str, table: TableRef, kinds: Mapping[str, T.DataType]) -> exp.Expr:
    try:
        expression = sqlglot.parse_one(sql, dialect="spark")
    except SqlglotError as error:
        raise ConfigurationError(f"LABEL is no SQL: {error}") from error
    read = {column.name for column in expression.find_all(exp.Column)}
    if not read or not read <= kinds.keys():
        raise ConfigurationError(
            f"LABEL is SQL over the columns of {table}, for example LABEL=\"section = 'libs'\"; they are "
            f"{', '.join(kinds)}"
        )
    return expression


def _of_column(name: str, table: TableRef, kinds: Mapping[str, T.DataType], lake_root: str) -> Label:
    kind = kinds[name]
    if isinstance(kind, T.BooleanType):
        return Label(name, "binary")
    if not isinstance(kind, T.StringType | T.NumericType):
        raise ConfigurationError(
            f"LABEL: {name} is {kind.simpleString()}; a model learns yes or no, a text of a few, or a number"
        )
    present = history.read(table, lake_root)
    if present.now is None or present.published_version is None:
        if isinstance(kind, T.NumericType):
            unseen = f"No value of {name} was seen: if it is 0 or 1, leave the objective out."
            return Label(name, "regression", unsure=(unseen,))
        raise ConfigurationError(
            f"LABEL: which texts {name} has is not known before {table} is published: run its DAG first, or "
            f"say which it is: LABEL=\"{name} = '…'\""
        )
    counts = Counter(present.now.value_counts(name))
    missing, rows = counts.pop(None, 0), counts.total()
    if len(counts) < 2:
        raise ConfigurationError(
            f"LABEL: {name} has {len(counts)} different values in {table}: nothing to learn"
        )
    label = _of_texts(name, table, counts) if isinstance(kind, T.StringType) else _of_numbers(name, counts)
    if missing:
        absent = f"{missing} of {missing + rows} rows have none, and are not learnt from."
        return Label(label.sql, label.objective, label.classes, (*label.unsure, absent))
    return label


def _of_texts(name: str, table: TableRef, counts: Counter[Any]) -> Label:
    classes = [str(text) for text, _ in counts.most_common()]
    if len(classes) == 2:
        rare = classes[1]
        return Label(f"{name} = {_literal(rare)}", "binary", unsure=(f"Or {name} = {_literal(classes[0])}?",))
    if len(classes) > MOST_CLASSES:
        raise ConfigurationError(
            f"LABEL: {name} has {len(classes)} different texts in {table}, too many for classes. Say "
            f'which is meant, LABEL="{name} = {_literal(classes[0])}", or make groups of them with CASE WHEN'
        )
    often = [one for one in classes if counts[one] >= FEWEST_ROWS]
    if len(often) in (0, 1, 2, len(classes)):
        rare_ones = [one for one in classes if counts[one] < FEWEST_ROWS]
        doubt = f"Rare, so that a part of the split may lack them: {_some(rare_ones, counts)}."
        return Label(name, "multiclass", tuple(classes), (doubt,) if rare_ones else ())
    left = [one for one in classes if one not in often]
    listed = ", ".join(map(_literal, often))
    return Label(
        f"CASE WHEN {name} IN ({listed}) THEN {name} END",
        "multiclass",
        tuple(often),
        (f"Left out, because a part of the split may lack them: {_some(left, counts)}.",),
    )


def _of_numbers(name: str, counts: Counter[Any]) -> Label:
    values = sorted(counts)
    if values == [0, 1]:
        return Label(name, "binary")
    if len(values) <= FEW_NUMBERS and all(isfinite(value) and value == int(value) for value in values):
        doubt = (
            f"Only {', '.join(str(int(value)) for value in values)}: classes? Then label string({name}), "
            "objective multiclass, and classes, as texts."
        )
        return Label(name, "regression", unsure=(doubt,))
    return Label(name, "regression")


def _of_expression(sql: str, expression: exp.Expr, table: TableRef, kinds: Mapping[str, T.DataType]) -> Label:
    answers = _answers(expression)
    if answers and all(answer.is_string for answer in answers):
        return _of_words(sql, tuple(dict.fromkeys(answer.name for answer in answers)))
    if answers and {answer.name for answer in answers} == {"0", "1"}:
        return Label(sql, "binary")
    typed = _typed(expression, table, kinds)
    if _is_yes_or_no(typed):
        return Label(sql, "binary")
    if typed.is_type(*exp.DataType.NUMERIC_TYPES):
        return Label(sql, "regression", unsure=("If it is never but 0 or 1, leave the objective out.",))
    if typed.is_type(*exp.DataType.TEXT_TYPES):
        raise ConfigurationError(
            'LABEL: which texts it gives is not known: write them out, LABEL="CASE WHEN amount > 900 THEN '
            "'large' WHEN … ELSE 'small' END\", or say which is meant, LABEL=\"… = 'large'\""
        )
    return Label(sql, "binary", unsure=("Taken for yes or no, because its type was not seen.",))


def _of_words(sql: str, words: tuple[str, ...]) -> Label:
    if len(words) == 1:
        raise ConfigurationError(f"LABEL is always {words[0]!r}: nothing to learn")
    if len(words) == 2:
        return Label(f"({sql}) = {_literal(words[0])}", "binary", unsure=(f"Or {_literal(words[1])}?",))
    return Label(sql, "multiclass", words, ("Each part of the split must have rows of every class.",))


def _answers(expression: exp.Expr) -> list[exp.Literal]:
    """What CASE or IF answers, where these are nothing but literals and nulls."""
    match expression:
        case exp.Case():
            branches = [one.args["true"] for one in expression.args["ifs"]]
        case exp.If():
            branches = [expression.args["true"]]
        case _:
            return []
    branches += [other] if (other := expression.args.get("default") or expression.args.get("false")) else []
    found = [one for one in branches if not isinstance(one, exp.Null)]
    return found if all(isinstance(one, exp.Literal) for one in found) else []


def _typed(expression: exp.Expr, table: TableRef, kinds: Mapping[str, T.DataType]) -> exp.Expr:
    schema: dict[str, object] = {table.name: {name: kind.simpleString() for name, kind in kinds.items()}}
    selected = exp.select(expression.copy()).from_(table.name)
    for column in selected.find_all(exp.Column):
        column.set("table", exp.to_identifier(table.name))
    return annotate_types(selected, schema=schema, dialect="spark").selects[0]


def _is_yes_or_no(typed: exp.Expr) -> bool:
    return typed.is_type("boolean") or (isinstance(typed, exp.Cast) and _is_yes_or_no(typed.this))


def _literal(text: str) -> str:
    return exp.Literal.string(text).sql(dialect="spark")


def _some(classes: Sequence[str], counts: Mapping[str, int]) -> str:
    shown = ", ".join(f"{_literal(one)} ({counts[one]} rows)" for one in classes[:SHOWN])
    return shown if len(classes) <= SHOWN else f"{shown} and {len(classes) - SHOWN} more"
