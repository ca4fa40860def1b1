"""Rows of a table of predictions: the key of what was scored, the answer, and which model gave it."""

from __future__ import annotations

from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from millstream.ml.objectives import objective_of
from millstream.ml.pipelines import inputs
from millstream.ml.spec import ModelSpec


def predictions(rows: DataFrame, spec: ModelSpec, model: Any, version: int, *more: str) -> DataFrame:
    """The key, the answer of `model`, its name and `version` in the registry, and the columns `more` of
    `rows`, which has the columns of the model's input table; runs no action."""
    objective = objective_of(spec)
    carried = dict.fromkeys([*more, *spec.key])
    return objective.with_answer(inputs(rows, spec, *carried), model).select(
        *spec.key,
        *objective.answer(model, spec),
        F.lit(spec.name).alias("model_name"),
        F.lit(version).cast("int").alias("model_version"),
        *(name for name in carried if name not in spec.key),
    )
