"""Training rows: labelled, each in exactly one part, in an order that does not change from run to run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

from pyspark.sql import Column, DataFrame, Row, Window
from pyspark.sql import functions as F

from millstream.errors import SourceDataError
from millstream.ml.spec import GroupSplit, ModelSpec, TimeSplit

Part = Literal["train", "validate", "test"]
LABEL = "label"
PART = "_part"


def labelled(rows: DataFrame, spec: ModelSpec) -> DataFrame:
    """Rows with a label, plus `label` (double) and `_part` (train, validate or test).

    The label of a class is its place among the declared ones, and -1 if it is none of them.

    If the declaration has `distinct_on`, one of the rows with the same value is kept: a copy on the other
    side of the split would let the model answer from memory.
    """
    labelled_rows = rows.withColumn(LABEL, _label(spec)).where(F.col(LABEL).isNotNull())
    if spec.distinct_on is not None:
        first = Window.partitionBy(F.xxhash64(spec.distinct_on), spec.distinct_on).orderBy(spec.row_id)
        labelled_rows = (
            labelled_rows.withColumn("_copy", F.row_number().over(first)).where("_copy = 1").drop("_copy")
        )
    return labelled_rows.withColumn(PART, _part(spec))


def ordered(rows: DataFrame, spec: ModelSpec) -> DataFrame:
    """`rows` in a fixed order, because MLlib's results depend on it."""
    return rows.repartition(2, spec.row_id).sortWithinPartitions(spec.row_id)


@contextmanager
def persisted(rows: DataFrame) -> Iterator[DataFrame]:
    """`rows`, computed once while the context lasts; then the server's memory is released."""
    kept = rows.persist()
    try:
        yield kept
    finally:
        kept.unpersist()


def part(rows: DataFrame, *names: Part) -> DataFrame:
    """The rows of the named parts."""
    return rows.where(F.col(PART).isin(*names))


def counted(rows: DataFrame, spec: ModelSpec) -> dict[str, int]:
    """How many rows each part has.

    Raises: SourceDataError when a part is empty, all its rows have the same label, or one of the classes has
        none: a metric on them has no meaning. Also when a label is no class, or no finite number.
    """
    seen = _labels_of_parts(rows, spec)
    empty = [name for name in get_args(Part) if name not in seen]
    if empty:
        raise SourceDataError(
            f"model {spec.name}: {spec.input_table} has no labelled rows for the part(s) {', '.join(empty)}; "
            f"its split is {spec.split}. What to do: ingest the missing period first"
        )
    if wrong := [name for name, part in seen.items() if part["wrong"]]:
        expected = {"binary": "0 or 1", "regression": "a finite number"}.get(
            spec.objective, f"one of {', '.join(spec.classes)}"
        )
        raise SourceDataError(
            f"model {spec.name}: of the rows of {spec.input_table} some have a label that is not "
            f"{expected}, in the part(s) {', '.join(wrong)}. What to do: correct the label "
            f"({spec.label}), or let it be null for rows to leave out"
        )
    alike = [f"{name} (all {_named(part['low'], spec)})" for name, part in seen.items() if _is_alike(part)]
    if alike:
        raise SourceDataError(
            f"model {spec.name}: of the rows of {spec.input_table} all have the same label in the part(s) "
            f"{', '.join(alike)}. What to do: look at the label ({spec.label}), and whether the "
            "part has rows enough"
        )
    lacking = [
        f"{name} ({label})"
        for name, part in seen.items()
        for place, label in enumerate(spec.classes)
        if place not in part["classes"]
    ]
    if lacking:
        raise SourceDataError(
            f"model {spec.name}: of the rows of {spec.input_table} none is of these classes: "
            f"{', '.join(lacking)}. What to do: declare only classes that every part has"
        )
    return {name: seen[name]["rows"] for name in get_args(Part)}


def _labels_of_parts(rows: DataFrame, spec: ModelSpec) -> dict[str, Row]:
    label = F.col(LABEL)
    is_wrong = {
        "binary": ~label.isin(0, 1),
        "multiclass": label < 0,
        "regression": F.isnan(label) | (F.abs(label) == float("inf")),
    }[spec.objective]
    # Of numbers there may be as many as rows.
    classes = F.collect_set(label) if spec.classes else F.array().cast("array<double>")
    found = rows.groupBy(PART).agg(
        F.count("*").alias("rows"),
        F.min(label).alias("low"),
        F.max(label).alias("high"),
        F.max(is_wrong).alias("wrong"),
        classes.alias("classes"),
    )
    seen = {row[PART]: row for row in found.collect()}
    return {name: seen[name] for name in get_args(Part) if name in seen}


def _is_alike(part: Row) -> bool:
    return bool(part["low"] == part["high"])


def _named(label: float, spec: ModelSpec) -> str:
    return spec.classes[int(label)] if spec.classes else f"{label:g}"


def _label(spec: ModelSpec) -> Column:
    label = F.expr(spec.label)
    if not spec.classes:
        return label.cast("double")
    place = F.array_position(F.array(*map(F.lit, spec.classes)), label.cast("string"))
    return (place - 1).cast("double")


def _part(spec: ModelSpec) -> Column:
    match spec.split:
        case TimeSplit(column=column, train_until=train_until, validate_until=validate_until):
            return (
                F.when(F.col(column) <= train_until, "train")
                .when(F.col(column) <= validate_until, "validate")
                .otherwise("test")
            )
        case GroupSplit(column=column, validate_percent=validate, test_percent=test):
            bucket = F.pmod(F.xxhash64(column), F.lit(100))
            return F.when(bucket < test, "test").when(bucket < test + validate, "validate").otherwise("train")
