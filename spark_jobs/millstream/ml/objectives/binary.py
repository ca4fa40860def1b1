"""Yes or no: a probability, and a threshold that makes it an answer."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from millstream.ml import metrics, plots, scoring
from millstream.ml.metrics import Interval
from millstream.ml.scoring import PREDICTION, SCORE
from millstream.ml.spec import ModelSpec


def scored(rows: DataFrame, model: Any, spec: ModelSpec) -> pd.DataFrame:
    return scoring.scored_pairs(rows, model)


def with_answer(rows: DataFrame, model: Any) -> DataFrame:
    return scoring.with_score(rows, model)


def answer(model: Any, spec: ModelSpec) -> list[Column]:
    return [
        F.col(SCORE).alias("probability"),
        (F.col(PREDICTION) == 1).alias("predicted"),
        F.lit(scoring.own_threshold(model)).alias("threshold"),
    ]


def settle(model: Any, scored: pd.DataFrame) -> float | None:
    threshold = metrics.best_threshold(scored)
    scoring.set_threshold(model, threshold)
    return threshold


def summary(scored: pd.DataFrame, spec: ModelSpec) -> dict[str, float]:
    return metrics.summary(scored)


def interval(scored: pd.DataFrame, spec: ModelSpec) -> Interval:
    return metrics.auc_interval(scored)


def figures(scored: pd.DataFrame, spec: ModelSpec) -> dict[str, Figure]:
    return {
        "roc": plots.roc({"": (scored["label"], scored["score"])}),
        "precision_recall": plots.precision_recall(scored),
        "calibration": plots.calibration_curve(scored),
    }


def tables(scored: pd.DataFrame, spec: ModelSpec) -> dict[str, pd.DataFrame]:
    return {"thresholds": metrics.thresholds(scored), "calibration": metrics.calibration(scored)}
