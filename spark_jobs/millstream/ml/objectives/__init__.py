"""What a label means for scores, metrics, plots and predictions: a module for each objective.

`scored` is what each collects of rows with `label`, in one action:
    binary      label (0 or 1), score (probability of 1)
    multiclass  label (place of the class), p0, p1, … (probability of each class)
    regression  label, score (the predicted number)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

import pandas as pd

from millstream.ml.metrics import Interval
from millstream.ml.spec import ModelSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pyspark.sql import Column, DataFrame


class ObjectiveModule(Protocol):
    """What a module of this package offers."""

    def scored(self, rows: DataFrame, model: Any, spec: ModelSpec) -> pd.DataFrame:
        """Labels and scores of all rows by `model`, a fitted stage or pipeline, in one action."""
        ...

    def with_answer(self, rows: DataFrame, model: Any) -> DataFrame:
        """`rows` with what `answer` selects from."""
        ...

    def answer(self, model: Any, spec: ModelSpec) -> list[Column]:
        """The columns of the table of predictions that hold the answer."""
        ...

    def settle(self, model: Any, scored: pd.DataFrame) -> float | None:
        """Choose what the answers of the pipeline `model` depend on besides its fit; `scored` are rows that
        it was not fitted to. Returns the threshold, where there is one."""
        ...

    def summary(self, scored: pd.DataFrame, spec: ModelSpec) -> dict[str, float]: ...

    def interval(self, scored: pd.DataFrame, spec: ModelSpec) -> Interval:
        """The 95 % interval of the objective's metric."""
        ...

    def figures(self, scored: pd.DataFrame, spec: ModelSpec) -> dict[str, Figure]: ...

    def tables(self, scored: pd.DataFrame, spec: ModelSpec) -> dict[str, pd.DataFrame]: ...


def objective_of(spec: ModelSpec) -> ObjectiveModule:
    """The module of the model's objective."""
    return cast(ObjectiveModule, import_module(f"{__name__}.{spec.objective}"))
