"""Scores of a fitted pipeline, as columns and as collected pairs."""

from __future__ import annotations

from typing import Any

import pandas as pd
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from millstream.ml.dataset import LABEL

SCORE = "score"


def with_score(rows: DataFrame, model: Any) -> DataFrame:
    """`rows` with `score`, the probability of the label 1 (0 to 1)."""
    scored: DataFrame = model.transform(rows)
    return scored.withColumn(SCORE, vector_to_array(F.col("probability"))[1])


def scored_pairs(rows: DataFrame, model: Any) -> pd.DataFrame:
    """Collect `label` and `score` of all rows: the one action that a set of metrics needs."""
    pairs: pd.DataFrame = with_score(rows, model).select(LABEL, SCORE).toPandas()
    return pairs
