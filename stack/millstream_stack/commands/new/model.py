"""`make new MODEL=loud FROM=silver.notes LABEL="volume > 60"`: a model's declaration and all that it
needs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from textwrap import fill, wrap
from typing import Any, NamedTuple

from pyspark.sql import types as T
from rich.console import Console

from millstream.errors import ConfigurationError, MillstreamError
from millstream.lake.tables import TableRef
from millstream.ml.spec import Objective
from millstream.settings import Settings
from millstream.transforms import Table, table_of
from millstream_stack.commands.new.files import names_in, require_name, write
from millstream_stack.commands.new.labels import Label, label_of

DECLARATION = '''"""{documented}"""

from millstream.ml.spec import {imported}

SPEC = ModelSpec(
    name="{name}",
{description}
    input_table="{table}",
{label}
    key={key},
    features={features},
    # By a hash of it: rows that are alike must have the same, so that none is on both sides.
    split=GroupSplit({split}),
)
'''
PREDICTIONS = '''"""{documented}"""

from pyspark.sql.types import StructType

from millstream.transforms import {answer}, column

SCHEMA = StructType(
    [
{columns}
        *{answer},
    ]
)
KEY = {key}
CHECKS{checks}
'''
DAG = """from millstream_airflow.pipelines.models import {kind}_dag

dag = {kind}_dag("{name}")
"""
SHARE = ' = {"probability_is_a_share": "probability BETWEEN 0 AND 1"}'


class Words(NamedTuple):
    """Of an objective: the question that a model answers, and its answer in the table of predictions."""

    question: str
    answer: str
    checks: str
    filled: str


OBJECTIVES: dict[Objective, Words] = {
    "binary": Words("For which rows of {table} does this hold: {label}?", "ANSWER", SHARE, "probability"),
    "multiclass": Words("Which class has a row of {table}: {label}?", "CLASS_ANSWER", SHARE, "predicted"),
    "regression": Words(
        "Which number has a row of {table}: {label}?", "NUMBER_ANSWER", ": dict[str, str] = {}", "predicted"
    ),
}
# What a column of a key may be.
KEYS = (T.StringType, T.IntegralType, T.DateType, T.TimestampType, T.TimestampNTZType, T.DecimalType)
KINDS = ("train", "score")
FEATURES = ("TabularFeatures", "TextFeatures")
# Of lines that are written.
WIDTH = 110


def new_model(settings: Settings, name: str, origin: str, label: str, text: str, screen: Console) -> None:
    """Write the declaration of model `name` on table `origin`, the table of its predictions with its suite,
    and two DAG files.

    `label` is SQL: what the model is to learn; by it, and its values where it is a column, the objective is
    chosen. Its features are the words of the columns `text` (names with commas), and all numbers that neither
    label nor key has.

    Raises: ConfigurationError when a file is there already, or table, label or text are none.
    """
    table = _table(origin)
    kinds = {one.name: one.dataType for one in table.schema.fields}
    texts = names_in(text)
    if wrong := [one for one in texts if not isinstance(kinds.get(one), T.StringType)]:
        raise ConfigurationError(
            f"{origin} has no column of text {', '.join(wrong)}; it has {', '.join(kinds)}"
        )
    learnt = label_of(label, TableRef.parse(origin), table.schema, settings.lake_root)
    used = {*learnt.columns, *table.key, *texts}
    numbers = tuple(one for one, kind in kinds.items() if isinstance(kind, T.NumericType) and one not in used)
    if not texts and not numbers:
        raise ConfigurationError(
            f"{origin} has no number besides label and key: name columns of text as TEXT"
        )
    words = OBJECTIVES[learnt.objective]
    description = words.question.format(table=origin, label=label)
    features = _features(numbers, texts)
    declaration = DECLARATION.format(
        name=require_name(name),
        documented=_documented(description),
        description=_entry("description", description),
        table=origin,
        label=_label(learnt),
        key=_quoted(table.key),
        features=features,
        imported=", ".join(["GroupSplit", "ModelSpec", *(one for one in FEATURES if one in features)]),
        split=_quoted(table.key[0]),
    )
    predictions, project = f"{name}_predictions", settings.project
    own = settings.root / "spark_jobs" / "millstream" if project == settings.root else project
    suite = json.dumps(_suite(predictions, table.key, words.filled), indent=2) + "\n"
    files = {
        own / "models" / f"{name}.py": declaration,
        own / "transforms" / f"{predictions}.py": _predictions(table, description, words),
        project / "expectations" / f"{predictions}.json": suite,
        **{project / "dags" / f"{kind}_{name}.py": DAG.format(kind=kind, name=name) for kind in KINDS},
    }
    write(files, project, screen)
    learns = f", one of {', '.join(learnt.classes)}" if learnt.classes else ""
    screen.print(f"It learns {learnt.objective}{learns}.", markup=False, soft_wrap=True)
    screen.print("Read the declaration and correct it, above all its features and what it is split by.")
    for note in learnt.unsure:
        screen.print(f"Note: {note}", markup=False, soft_wrap=True)


def _label(learnt: Label) -> str:
    notes = [line for note in learnt.unsure for line in wrap(note, WIDTH - len("    # "))]
    lines = [*(f"    # {line}" for line in notes), _entry("label", learnt.sql)]
    if learnt.objective != "binary":
        lines.append(_entry("objective", learnt.objective))
    if learnt.classes:
        lines.append(_entry("classes", learnt.classes))
    return "\n".join(lines)


def _entry(name: str, value: str | tuple[str, ...]) -> str:
    """An argument of the declaration, in lines that are not too long."""
    line = f"    {name}={_quoted(value)},"
    if len(line) <= WIDTH:
        return line
    if isinstance(value, str):
        parts = wrap(value, WIDTH - 30, drop_whitespace=False, replace_whitespace=False, expand_tabs=False)
        lines = [_quoted(part) for part in parts]
    else:
        lines = [f"{_quoted(part)}," for part in value]
    return "\n".join([f"    {name}=(", *(f"        {one}" for one in lines), "    ),"])


def _documented(text: str) -> str:
    """A text as it stands in a docstring, of which SQL may have the marks."""
    return fill(text.replace("\\", "\\\\").replace('"', '\\"'), WIDTH - len('""""""'))


def _quoted(value: str | Sequence[str]) -> str:
    """A text or a tuple of texts as Python, in the quotes of the project's style."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return f"({', '.join(map(_quoted, value))}{',' * (len(value) == 1)})"


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


def _features(numbers: tuple[str, ...], texts: list[str]) -> str:
    words = [f"TextFeatures({_quoted(one)})" for one in texts]
    if not numbers and len(words) == 1:
        return words[0]
    parts = [f"numbers={_quoted(numbers)}"] if numbers else []
    parts += [f"texts=({', '.join(words)},)"] if words else []
    return f"TabularFeatures({', '.join(parts)})"


def _predictions(table: Table, description: str, words: Words) -> str:
    fields = [one for one in table.schema.fields if one.name in table.key]
    columns = "\n".join(
        f"        column({_quoted(one.name)}, {_quoted(one.dataType.simpleString())}, "
        f"{_quoted(one.metadata.get('comment', ''))}, key=True),"
        for one in fields
    )
    return PREDICTIONS.format(
        documented=_documented(description),
        columns=columns,
        key=_quoted(table.key),
        answer=words.answer,
        checks=words.checks,
    )


def _suite(name: str, key: tuple[str, ...], filled: str) -> dict[str, Any]:
    """Not empty, a key, and an answer for each row: the column `filled`."""
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
            "kwargs": {"column": filled, "mostly": 0.999},
        },
    ]
    return {
        "name": name,
        "meta": {"table": f"gold.{name}"},
        "expectations": [{**rule, "severity": "critical"} for rule in rules],
    }
