"""Scores of a fitted pipeline, as columns and as collected pairs."""

from __future__ import annotations

from typing import Any

import pandas as pd
from pyspark.ml.feature import Binarizer
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from millstream.ml.dataset import LABEL

SCORE = "score"
PREDICTION = "prediction"
PROBABILITY = "probability"
# Where a probability equals the threshold Spark answers 0, and it compares quotients, which are rounded. That
# much below the threshold no probability lies that is not meant to be equal to it.
_BELOW = 1e-9


def with_score(rows: DataFrame, model: Any) -> DataFrame:
    """`rows` with `score`, the probability of the label 1 (0 to 1)."""
    scored: DataFrame = model.transform(rows)
    # XGBoost's trees say it themselves.
    if SCORE in scored.columns:
        return scored
    return scored.withColumn(SCORE, vector_to_array(F.col(PROBABILITY))[1])


def set_threshold(model: Any, threshold: float) -> None:
    """Let the pipeline `model` predict 1 if the probability of label 1 is at least `threshold`.

    The threshold is saved with the pipeline. Without one, Spark predicts the more probable label.
    """
    lower, last = threshold - _BELOW, model.stages[-1]
    if isinstance(last, Binarizer):
        last.setThreshold(lower)
    else:
        last.setThresholds([1 - lower, lower])


def own_threshold(model: Any) -> float | None:
    """The threshold of the pipeline `model`; None if it has none."""
    last = model.stages[-1]
    if isinstance(last, Binarizer):
        return round(last.getThreshold() + _BELOW, 8)
    return round(last.getThresholds()[1] + _BELOW, 8) if last.isSet("thresholds") else None


def scored_pairs(rows: DataFrame, model: Any) -> pd.DataFrame:
    """Collect `label` and `score` of all rows, in one action."""
    pairs: pd.DataFrame = with_score(rows, model).select(LABEL, SCORE).toPandas()
    return pairs
