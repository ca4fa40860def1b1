"""Yes or no, classes and numbers, by MLlib and XGBoost: trained, registered, scored, and asked by MLflow
where the platform is not. The rows are every fiftieth flight of the demo's source."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient
from pyspark.sql import SparkSession

from millstream import jobs, models
from millstream.errors import SourceDataError
from millstream.ml.pipelines import input_columns
from millstream.models import model_spec
from millstream.transforms import ANSWER, CLASS_ANSWER, NUMBER_ANSWER
from millstream_demo import reference
from tests.support.mlflow_server import tracking_server

pytestmark = [pytest.mark.spark, pytest.mark.mlflow, pytest.mark.thorough]

COMMON = """
from millstream.ml.spec import Candidate, GroupSplit, ModelSpec, TabularFeatures, TextFeatures

MLLIB = Candidate("linear", "{linear}", ({{"regParam": 0.001, "maxIter": 15}},))
TREES = ({{"n_estimators": 20, "max_depth": 3, "learning_rate": 0.3}},)
SPEC = ModelSpec(
    name="{name}",
    input_table="silver.some_flights",
    label={label!r},
    {more}
    row_id="id",
    key=("id",),
    # `hour` is a number and a category, `route` a text of two words.
    features=TabularFeatures(
        numbers={numbers!r},
        categories=("carrier", "hour"),
        tree_categories=("carrier",),
        texts=(TextFeatures("route", 32, idf=True),),
    ),
    split=GroupSplit("day", 25, 25),
    candidates=(MLLIB, Candidate("boosted", "xgboost", TREES, workers={workers})),
)
"""
OUTCOME = (
    "CASE WHEN dep_time IS NULL THEN 'cancelled' WHEN dep_delay < 15 THEN 'on time' "
    "WHEN dep_delay < 60 THEN 'late' ELSE 'very late' END"
)
CLASSES = ("on time", "late", "very late", "cancelled")
DECLARATIONS = {
    "departs_late": {"linear": "logistic_regression", "label": "dep_delay >= 15", "more": ""},
    "outcome": {
        "linear": "logistic_regression",
        "label": OUTCOME,
        "more": f'objective="multiclass", classes={CLASSES!r},',
    },
    # At the gate: what of the delay is made good on the way.
    "arrival": {
        "linear": "linear_regression",
        "label": "arr_delay",
        "more": 'objective="regression",',
        "numbers": ("hour", "distance", "dep_delay"),
        "workers": 2,
    },
}
MODELS = tuple(DECLARATIONS)
OUTSIDE = """
import json, sys
import mlflow
import pandas as pd

asked = pd.read_json(sys.argv[1], orient="table")
answers = {}
for name, version in json.loads(sys.argv[2]).items():
    model = mlflow.pyfunc.load_model(f"models:/{name}/{version}")
    columns = model.metadata.get_input_schema().input_names()
    answers[name] = list(model.predict(asked[columns]))
assert not any(name.partition(".")[0] == "millstream" for name in sys.modules)
print("ANSWERS " + json.dumps(answers))
"""


@pytest.fixture(scope="module")
def lake(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("lake")
    header, *lines = (line.decode().rstrip() for line in reference.flight_lines())
    rows = pd.DataFrame([line.split(",") for line in lines[::50]], columns=header.split(","))
    numbers = ["hour", "distance", "dep_time", "dep_delay", "arr_delay"]
    rows[numbers] = rows[numbers].apply(pd.to_numeric, errors="coerce")
    rows["hour"] = rows["hour"].astype(int)
    rows["day"] = rows["month"] + "-" + rows["day"]
    rows["route"] = rows["origin"] + " " + rows["dest"]
    rows["id"] = range(len(rows))
    table = spark.createDataFrame(rows[["id", "day", "carrier", "route", *numbers]])
    for name in ("dep_time", "dep_delay", "arr_delay"):
        table = table.withColumn(name, table[name].try_cast("int"))
    table.write.format("delta").save(f"file://{folder}/silver/some_flights")
    return f"file://{folder}"


@pytest.fixture(scope="module", autouse=True)
def declarations(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("models")
    for name, declared in DECLARATIONS.items():
        said = {"numbers": ("hour", "distance"), "workers": 1, **declared}
        (folder / f"{name}.py").write_text(COMMON.format(name=name, **said))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(models, "__path__", [str(folder)])
        yield
    for name in DECLARATIONS:
        sys.modules.pop(f"millstream.models.{name}", None)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with tracking_server(tmp_path_factory.mktemp("mlflow")):
        yield


Trained = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def trained(spark: SparkSession, lake: str, registry: None) -> Trained:
    """What became of each model: XGBoost's candidate is registered, MLlib's has been fitted too."""
    done: Trained = {}
    for name in MODELS:
        common = {"lake_root": lake, "run": "first", "model": name, "input_version": 0}
        coded = {**common, "code_version": "test"}
        fits = {
            candidate.name: jobs.execute(spark, "fit_candidate", {**coded, "candidate": candidate.name})
            for candidate in model_spec(name).candidates
        }
        registered = jobs.execute(spark, "register_model", {**coded, "candidates": [fits["boosted"]]})
        scored = jobs.execute(spark, "score_model", {**common, "model_version": registered["version"]})
        answers = spark.read.format("delta").load(scored["staged_uri"]).toPandas().set_index("id")
        done[name] = {"fits": fits, "registered": registered, "answers": answers}
    return done


@pytest.mark.parametrize(
    ("name", "metric", "at_least", "columns"),
    [
        ("departs_late", "auc_roc", 0.6, ANSWER),
        ("outcome", "auc_roc", 0.55, CLASS_ANSWER),
        ("arrival", "r2", 0.6, NUMBER_ANSWER),
    ],
)
def test_every_objective_is_learnt_by_both_libraries_and_promoted_by_its_own_metric(
    trained: Trained, name: str, metric: str, at_least: float, columns: Any
) -> None:
    fits, registered = trained[name]["fits"], trained[name]["registered"]
    assert {candidate: fit["validation"][metric] > at_least for candidate, fit in fits.items()} == {
        "linear": True,
        "boosted": True,
    }
    naive = model_spec(name).metric.naive
    assert naive < registered["test"][f"{metric}_ci95_low"] < registered["test"][metric]
    assert registered["alias"] == "champion"
    assert model_spec(name).metric.in_words in registered["reason"]
    assert {one.name for one in columns} <= set(trained[name]["answers"].columns)
    run = MlflowClient().get_run(registered["mlflow_run_id"])
    plots = {Path(one.path).stem for one in MlflowClient().list_artifacts(run.info.run_id, "plots")}
    assert "importance" in plots
    assert len(plots) > 2


def test_answers_are_classes_and_numbers(trained: Trained) -> None:
    outcome, arrival = trained["outcome"]["answers"], trained["arrival"]["answers"]
    assert set(outcome["predicted"]) <= set(CLASSES)
    assert len(set(outcome["predicted"])) > 1
    assert outcome["probability"].between(0.25, 1).all()
    assert arrival["predicted"].between(-100, 1500).all()
    assert arrival["predicted"].nunique() > 100


def test_mlflow_answers_outside_the_platform_as_the_platform_does(
    spark: SparkSession, lake: str, trained: Trained, tmp_path: Path
) -> None:
    rows = spark.read.format("delta").load(f"{lake}/silver/some_flights").orderBy("id").limit(300).toPandas()
    for name in MODELS:
        numbers = [one for one, kind in input_columns(model_spec(name)).items() if kind == "double"]
        rows[numbers] = rows[numbers].astype(float)
    (tmp_path / "rows.json").write_text(rows.to_json(orient="table", index=False))
    versions = {name: trained[name]["registered"]["version"] for name in MODELS}
    asked = subprocess.run(
        [sys.executable, "-c", OUTSIDE, str(tmp_path / "rows.json"), json.dumps(versions)],
        env={**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "MLFLOW_TRACKING_URI": mlflow.get_tracking_uri()},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert asked.returncode == 0, asked.stderr[-3000:]
    (line,) = (line for line in asked.stdout.splitlines() if line.startswith("ANSWERS "))
    outside = json.loads(line.removeprefix("ANSWERS "))
    inside = {name: trained[name]["answers"]["predicted"].loc[rows["id"]].tolist() for name in MODELS}
    assert outside["outcome"] == inside["outcome"]
    assert outside["arrival"] == inside["arrival"]
    assert outside["departs_late"] == [float(answer) for answer in inside["departs_late"]]
    # By the threshold, and not by the half.
    probability = trained["departs_late"]["answers"]["probability"].loc[rows["id"]]
    assert [float(share >= 0.5) for share in probability] != outside["departs_late"]


def test_a_label_that_is_no_class_is_told_before_anything_is_fitted(
    spark: SparkSession, lake: str, registry: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    three = dataclasses.replace(model_spec("outcome"), classes=CLASSES[:3])
    monkeypatch.setattr(sys.modules["millstream.models.outcome"], "SPEC", three)
    arguments = {"lake_root": lake, "run": "wrong", "model": "outcome", "input_version": 0}
    with pytest.raises(SourceDataError, match="label that is not one of on time, late, very late"):
        jobs.execute(spark, "fit_candidate", {**arguments, "code_version": "test", "candidate": "linear"})
