"""A pipeline's own answer against its threshold: at the boundary too, for each algorithm that models use."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.feature import VectorAssembler
from pyspark.sql import DataFrame, SparkSession

from millstream.ml.pipelines import VECTOR, estimator
from millstream.ml.scoring import PREDICTION, SCORE, own_threshold, set_threshold, with_score
from millstream.ml.spec import Candidate
from millstream.models import model_spec

pytestmark = pytest.mark.spark

SPEC = model_spec("arrival_delay")


@pytest.fixture(scope="module")
def rows(spark: SparkSession) -> DataFrame:
    """Three groups, of ten rows each, of which three, seven and one have the label 1.

    The group in the middle is the likely one: Spark merges leaves side by side that give the same answer.
    """
    pairs = [(float(x), float(row < hits)) for x, hits in ((0, 3), (1, 7), (2, 1)) for row in range(10)]
    return spark.createDataFrame(pairs, "x double, label double").coalesce(1).cache()


@pytest.mark.parametrize("candidate", SPEC.candidates, ids=lambda candidate: candidate.name)
def test_a_pipeline_answers_1_where_the_probability_reaches_the_threshold(
    rows: DataFrame, candidate: Candidate, tmp_path: Path
) -> None:
    last = estimator(SPEC, candidate, {} if candidate.algorithm == "logistic_regression" else {"maxDepth": 2})
    model = Pipeline(stages=[VectorAssembler(inputCols=["x"], outputCol=VECTOR), last]).fit(rows)
    assert own_threshold(model) is None
    scores = sorted({row[SCORE] for row in with_score(rows, model).collect()})
    assert len(scores) == 3
    if candidate.algorithm == "decision_tree":
        assert scores == [0.1, 0.3, 0.7]

    for threshold in (*scores, scores[1] - 1e-6, scores[1] + 1e-6, 0.5):
        set_threshold(model, threshold)
        for score, answer in with_score(rows, model).select(SCORE, PREDICTION).distinct().collect():
            assert answer == float(score >= threshold), (score, threshold)

    set_threshold(model, 0.35)
    model.save(str(tmp_path / "model"))
    assert own_threshold(PipelineModel.load(str(tmp_path / "model"))) == 0.35
