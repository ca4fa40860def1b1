"""Models over Connect, as training and scoring have them: what is set on one reaches its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from millstream.engines import sessions
from millstream.ml import stored
from millstream.ml.objectives import objective_of
from millstream.ml.pipelines import VECTOR, answers, encoders, estimator
from millstream.ml.scoring import PREDICTION, SCORE, own_threshold, set_threshold, with_score
from millstream.ml.spec import Candidate, GroupSplit, ModelSpec, Objective, TabularFeatures
from millstream.models import model_spec
from millstream.settings import Settings
from tests.support.thorough import thorough

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


BOOSTED = Candidate("boosted", "xgboost", ({"n_estimators": 8, "max_depth": 2},), workers=2)


@pytest.mark.parametrize(
    ("objective", "classes"),
    [("multiclass", ("a", "b", "c")), *thorough(("binary", ()), ("regression", ()))],
)
def test_xgboost_is_fitted_saved_and_loaded(
    server: Settings, tmp_path: Path, objective: Objective, classes: tuple[str, ...]
) -> None:
    from pyspark.ml import Pipeline, PipelineModel

    spec = ModelSpec(
        name="sample",
        input_table="silver.sample",
        label="label",
        key=("id",),
        features=TabularFeatures(numbers=("x",), categories=("colour",), tree_categories=("colour",)),
        split=GroupSplit("id"),
        objective=objective,
        classes=classes,
        candidates=(BOOSTED,),
    )
    hues = ("red", "green", "blue")
    rows = [(float(n % 10), hues[n % 3], float(n % 3 if classes else n % 10 > 4)) for n in range(300)]
    uri = f"file://{tmp_path}/model"
    with sessions.connect(server.connect_url, f"models/{objective}", [], tag="models") as spark:
        table = spark.createDataFrame(rows, "x double, colour string, label double")
        encoder = Pipeline(stages=encoders(spec, BOOSTED)).fit(table)
        fitted = estimator(spec, BOOSTED, BOOSTED.grid[0]).fit(encoder.transform(table))
        model = PipelineModel([*encoder.stages, fitted, *answers(spec, BOOSTED)])
        module = objective_of(spec)
        scored = module.scored(table, model, spec)
        threshold = module.settle(model, scored)
        model.write().overwrite().save(uri)

        loaded = stored.load(uri)
        assert module.scored(table, loaded, spec).equals(scored)
        told = [row[PREDICTION] for row in loaded.transform(table).collect()]
    expected = [classes[int(label)] if classes else label for _, _, label in rows]
    if objective == "regression":
        assert told == pytest.approx(expected, abs=0.1)
    else:
        assert told == expected
        assert threshold is None or own_threshold(loaded) == threshold
    # Trees as JSON, and no object of Python.
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and "SparkXGB" in str(path)]
    assert any(b'"gradient_booster"' in content for content in kept)
    assert not any(b"cloudpickle" in content or content[:1] == b"\x80" for content in kept)
