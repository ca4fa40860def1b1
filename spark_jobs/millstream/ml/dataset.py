"""Training rows: labelled, each in exactly one part, in an order that does not change from run to run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from millstream.errors import SourceDataError
from millstream.ml.spec import GroupSplit, ModelSpec, TimeSplit

Part = Literal["train", "validate", "test"]
LABEL = "label"
PART = "_part"


def labelled(rows: DataFrame, spec: ModelSpec) -> DataFrame:
    """Rows with a label, plus `label` (double, 0 or 1) and `_part` (train, validate or test).

    If the declaration has `distinct_on`, one of the rows with the same value is kept: a copy on the other
    side of the split would let the model answer from memory.
    """
    labelled_rows = rows.withColumn(LABEL, F.expr(spec.label).cast("double")).where(F.col(LABEL).isNotNull())
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

    Raises: SourceDataError when a part is empty, or all its rows have the same label: a metric on them has
        no meaning.
    """
    groups = {(row[PART], row[LABEL]): row["count"] for row in rows.groupBy(PART, LABEL).count().collect()}
    labels = {name: [label for place, label in groups if place == name] for name in get_args(Part)}
    empty = [name for name, values in labels.items() if not values]
    if empty:
        raise SourceDataError(
            f"model {spec.name}: {spec.input_table} has no labelled rows for the part(s) {', '.join(empty)}; "
            f"its split is {spec.split}. What to do: ingest the missing period first"
        )
    alike = [f"{name} (all {values[0]:.0f})" for name, values in labels.items() if len(values) == 1]
    if alike:
        raise SourceDataError(
            f"model {spec.name}: of the rows of {spec.input_table} all have the same label in the part(s) "
            f"{', '.join(alike)}. What to do: look at the label ({spec.label}), and whether the "
            "part has rows enough"
        )
    return {name: sum(count for (place, _), count in groups.items() if place == name) for name in labels}


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
