"""`make new MODEL=loud FROM=silver.notes LABEL="volume > 60"`: a model's declaration and all that it
needs."""

from __future__ import annotations

import json
from typing import Any

import sqlglot
from pyspark.sql import types as T
from rich.console import Console
from sqlglot import exp
from sqlglot.errors import SqlglotError

from millstream.errors import ConfigurationError, MillstreamError
from millstream.lake.tables import TableRef
from millstream.settings import Settings
from millstream.transforms import Table, table_of
from millstream_stack.commands.new.files import require_name, write

DECLARATION = '''"""{description}"""

from millstream.ml.spec import GroupSplit, ModelSpec, TabularFeatures, TextFeatures

SPEC = ModelSpec(
    name="{name}",
    description={description!r},
    input_table="{table}",
    label={label!r},
    key={key!r},
    features={features},
    # By a hash of it: rows that are alike must have the same, so that none is on both sides.
    split=GroupSplit({split!r}),
)
'''
PREDICTIONS = '''"""{description}"""

from pyspark.sql.types import StructType

from millstream.transforms import ANSWER, column

SCHEMA = StructType(
    [
{columns}
        *ANSWER,
    ]
)
KEY = {key!r}
CHECKS = {{"probability_is_a_share": "probability BETWEEN 0 AND 1"}}
'''
DAG = """from millstream_airflow.pipelines.models import {kind}_dag

dag = {kind}_dag("{name}")
"""
# What a column of a key may be.
KEYS = (T.StringType, T.IntegralType, T.DateType, T.TimestampType, T.TimestampNTZType, T.DecimalType)
KINDS = ("train", "score")


def new_model(settings: Settings, name: str, origin: str, label: str, text: str, screen: Console) -> None:
    """Write the declaration of model `name` on table `origin`, the table of its predictions with its suite,
    and two DAG files.

    `label` is SQL, true for the rows that the model is to find. Its features are the words of the columns
    `text` (names with commas), and all numbers that neither label nor key has.

    Raises: ConfigurationError when a file is there already, or table, label or text are none.
    """
    table = _table(origin)
    kinds = {one.name: one.dataType for one in table.schema.fields}
    texts = [one.strip() for one in text.split(",") if one.strip()]
    if wrong := [one for one in texts if not isinstance(kinds.get(one), T.StringType)]:
        raise ConfigurationError(f"{origin} has no column of text {', '.join(wrong)}; it has {_words(kinds)}")
    used = {*_columns_of(label, origin, kinds), *table.key, *texts}
    numbers = tuple(one for one, kind in kinds.items() if isinstance(kind, T.NumericType) and one not in used)
    if not texts and not numbers:
        raise ConfigurationError(
            f"{origin} has no number besides label and key: name columns of text as TEXT"
        )
    description = f"For which rows of {origin} does this hold: {label}?"
    declaration = DECLARATION.format(
        name=require_name(name),
        description=description,
        table=origin,
        label=label,
        key=table.key,
        features=_features(numbers, texts),
        split=table.key[0],
    )
    predictions, project = f"{name}_predictions", settings.project
    own = settings.root / "spark_jobs" / "millstream" if project == settings.root else project
    suite = json.dumps(_suite(predictions, table.key), indent=2) + "\n"
    files = {
        own / "models" / f"{name}.py": declaration,
        own / "transforms" / f"{predictions}.py": _predictions(table, description),
        project / "expectations" / f"{predictions}.json": suite,
        **{project / "dags" / f"{kind}_{name}.py": DAG.format(kind=kind, name=name) for kind in KINDS},
    }
    write(files, project, screen)
    screen.print("Read the declaration and correct it, above all its features and what it is split by.")


def _table(origin: str) -> Table:
    ref = TableRef.parse(origin)
    try:
        table = table_of(ref.name)
    except MillstreamError as error:
        raise ConfigurationError(f"{origin} cannot be trained on: {error}") from error
    by_name = {one.name: one.dataType for one in table.schema.fields}
    if not table.key or not all(isinstance(by_name[one], KEYS) for one in table.key):
        raise ConfigurationError(f"{origin} has no key that predictions could carry")
    return table


def _columns_of(label: str, origin: str, kinds: dict[str, Any]) -> set[str]:
    try:
        read = {column.name for column in sqlglot.parse_one(label, dialect="spark").find_all(exp.Column)}
    except SqlglotError as error:
        raise ConfigurationError(f"LABEL is no SQL: {error}") from error
    if not read or not read <= kinds.keys():
        raise ConfigurationError(
            f"LABEL is SQL over the columns of {origin}, for example LABEL=\"section = 'libs'\"; they are "
            f"{_words(kinds)}"
        )
    return read


def _words(kinds: dict[str, Any]) -> str:
    return ", ".join(kinds)


def _features(numbers: tuple[str, ...], texts: list[str]) -> str:
    words = [f"TextFeatures({one!r})" for one in texts]
    if not numbers and len(words) == 1:
        return words[0]
    parts = [f"numbers={numbers!r}"] if numbers else []
    parts += [f"texts=({', '.join(words)},)"] if words else []
    return f"TabularFeatures({', '.join(parts)})"


def _predictions(table: Table, description: str) -> str:
    fields = [one for one in table.schema.fields if one.name in table.key]
    columns = "\n".join(
        f"        column({one.name!r}, {one.dataType.simpleString()!r}, "
        f"{one.metadata.get('comment', '')!r}, key=True),"
        for one in fields
    )
    return PREDICTIONS.format(description=description, columns=columns, key=table.key)


def _suite(name: str, key: tuple[str, ...]) -> dict[str, Any]:
    """Not empty, a key, and a probability for each row."""
    unique: dict[str, Any] = (
        {"type": "expect_column_values_to_be_unique", "kwargs": {"column": key[0]}}
        if len(key) == 1
        else {"type": "expect_compound_columns_to_be_unique", "kwargs": {"column_list": list(key)}}
    )
    rules: list[dict[str, Any]] = [
        {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 1}},
        unique,
        {
            "type": "expect_column_values_to_not_be_null",
            "kwargs": {"column": "probability", "mostly": 0.999},
        },
    ]
    return {
        "name": name,
        "meta": {"table": f"gold.{name}"},
        "expectations": [{**rule, "severity": "critical"} for rule in rules],
    }
