"""A number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from sklearn import metrics

from millstream.ml import plots
from millstream.ml.dataset import LABEL
from millstream.ml.metrics import Interval, normal_interval
from millstream.ml.scoring import PREDICTION, SCORE
from millstream.ml.spec import ModelSpec

GROUPS = 10


def scored(rows: DataFrame, model: Any, spec: ModelSpec) -> pd.DataFrame:
    answered = model.transform(rows).select(LABEL, F.col(PREDICTION).alias(SCORE))
    collected: pd.DataFrame = answered.toPandas()
    return collected


def with_answer(rows: DataFrame, model: Any) -> DataFrame:
    answered: DataFrame = model.transform(rows)
    return answered


def answer(model: Any, spec: ModelSpec) -> list[Column]:
    return [F.col(PREDICTION).alias("predicted")]


def settle(model: Any, scored: pd.DataFrame) -> float | None:
    return None


def summary(scored: pd.DataFrame, spec: ModelSpec) -> dict[str, float]:
    """R² against the mean of these rows; errors and bias in the label's unit."""
    label, score = scored["label"], scored["score"]
    return {
        "r2": float(metrics.r2_score(label, score)),
        "rmse": float(metrics.root_mean_squared_error(label, score)),
        "mae": float(metrics.mean_absolute_error(label, score)),
        "median_error": float(metrics.median_absolute_error(label, score)),
        "bias": float((score - label).mean()),
        "base_rmse": float(label.std(ddof=0)),
    }


def interval(scored: pd.DataFrame, spec: ModelSpec) -> Interval:
    """Of R², by the normal approximation (the delta method on the two mean squares in it). Rows count as
    independent; with few rows and rare large values it is too narrow."""
    label = scored["label"].to_numpy()
    lost, spread = (label - scored["score"].to_numpy()) ** 2, (label - label.mean()) ** 2
    quotient = lost.mean() / spread.mean()
    return normal_interval(float(1 - quotient), -(lost - quotient * spread) / spread.mean())


def figures(scored: pd.DataFrame, spec: ModelSpec) -> dict[str, Figure]:
    errors = scored["score"] - scored["label"]
    return {"predicted": plots.predicted(_groups(scored)), "errors": plots.errors(errors)}


def tables(scored: pd.DataFrame, spec: ModelSpec) -> dict[str, pd.DataFrame]:
    return {"predicted": _groups(scored)}


def _groups(scored: pd.DataFrame) -> pd.DataFrame:
    """Ten groups of equal size by prediction. Columns: predicted, observed (means), mae, rows."""
    groups = pd.qcut(scored["score"].rank(method="first"), min(GROUPS, len(scored)), labels=False)
    errors = scored.assign(error=np.abs(scored["score"] - scored["label"]))
    table = errors.groupby(groups).agg(
        predicted=("score", "mean"), observed=("label", "mean"), mae=("error", "mean"), rows=("label", "size")
    )
    return table.reset_index(drop=True)
