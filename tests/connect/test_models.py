"""Models over Connect, as training and scoring have them: what is set on one reaches its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from millstream.engines import sessions
from millstream.ml.pipelines import VECTOR, estimator
from millstream.ml.scoring import PREDICTION, SCORE, own_threshold, set_threshold, with_score
from millstream.models import model_spec
from millstream.settings import Settings

SPEC = model_spec("arrival_delay")


def test_a_threshold_is_kept_with_the_model(server: Settings, tmp_path: Path) -> None:
    from pyspark.ml import Pipeline, PipelineModel
    from pyspark.ml.feature import VectorAssembler

    rows = [(float(x), float(row < hits)) for x, hits in ((0, 3), (1, 7)) for row in range(10)]
    uri = f"file://{tmp_path}/model"
    with sessions.connect(server.connect_url, "models/1", [], tag="models") as spark:
        table = spark.createDataFrame(rows, "x double, label double")
        stages = [
            VectorAssembler(inputCols=["x"], outputCol=VECTOR),
            estimator(SPEC, SPEC.candidate("decision_tree"), {}),
        ]
        model = Pipeline(stages=stages).fit(table)
        lower, higher = sorted(
            row[SCORE] for row in with_score(table, model).select(SCORE).distinct().collect()
        )
        set_threshold(model, lower)
        model.write().overwrite().save(uri)

        loaded = PipelineModel.load(uri)
        assert own_threshold(loaded) == pytest.approx(lower, abs=1e-7)
        # At its boundary the lower score is a yes too; one half would make it a no.
        assert lower < 0.5 < higher
        assert {row[PREDICTION] for row in with_score(table, loaded).collect()} == {1.0}
        set_threshold(loaded, lower + 1e-6)
        answers = {row[SCORE]: row[PREDICTION] for row in with_score(table, loaded).collect()}
        assert answers == {lower: 0.0, higher: 1.0}
