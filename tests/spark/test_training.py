"""Training against a real MLflow server: fitted, tested once, registered, promoted; and when MLflow is down.

The rows are the docstrings of a few installed libraries, enough for both labels in every part of the split.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from millstream import jobs
from millstream.errors import ArtifactDigestError, SourceDataError, TrackingError
from millstream.ml import digest, metrics, promotion, stored
from millstream.ml.dataset import PART, labelled, ordered, part
from millstream.ml.pipelines import inputs
from millstream.ml.scoring import own_threshold, scored_pairs
from millstream.models import model_spec
from millstream_demo.docstrings import docstrings_of, public_modules
from tests.support.mlflow_server import MlflowServer, tracking_server
from tests.support.small_disk import mounted

pytestmark = [pytest.mark.spark, pytest.mark.mlflow]

LIBRARIES = ("pyspark", "click", "httpx", "jinja2", "networkx", "sqlalchemy")
MODEL = "big_data_text"
SPEC = model_spec(MODEL)
(CANDIDATE,) = SPEC.candidates


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with tracking_server(tmp_path_factory.mktemp("mlflow")) as running:
        yield running


@pytest.fixture(scope="module")
def lake(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A lake whose `silver.docstrings` holds the docstrings of `LIBRARIES`."""
    folder = tmp_path_factory.mktemp("lake")
    found = [
        {**record, "_source_row_id": record["qualified_name"]}
        for module, path in public_modules()
        if module.partition(".")[0] in LIBRARIES
        for record in docstrings_of(module, Path(path))
    ]
    rows = spark.createDataFrame(pd.DataFrame(found)).dropDuplicates(["qualified_name"])
    rows.write.format("delta").save(f"file://{folder}/silver/docstrings")
    return f"file://{folder}"


class Training:
    """The jobs of one training run, as its DAG calls them."""

    def __init__(self, spark: SparkSession, lake: str, run: str) -> None:
        self.spark, self.lake, self.run = spark, lake, run
        self.common = {
            "lake_root": lake,
            "run": run,
            "model": MODEL,
            "input_version": 0,
            "code_version": "test",
        }

    def fit(self) -> dict[str, Any]:
        return jobs.execute(self.spark, "fit_candidate", {**self.common, "candidate": CANDIDATE.name})

    def register(self, *fitted: dict[str, Any]) -> dict[str, Any]:
        arguments = {**self.common, "candidates": list(fitted)}
        return jobs.execute(self.spark, "register_model", arguments)


@pytest.fixture(scope="module")
def fitted(spark: SparkSession, lake: str, server: MlflowServer) -> dict[str, Any]:
    return Training(spark, lake, "first").fit()


@pytest.fixture(scope="module")
def shuffled(spark: SparkSession, lake: str, server: MlflowServer) -> dict[str, Any]:
    """What the first training of all registers: its rows have each other's labels."""
    rows = spark.read.format("delta").load(f"{lake}/silver/docstrings")
    place = Window.orderBy("qualified_name")
    other_place = Window.orderBy(F.xxhash64("qualified_name"))
    labels = rows.select("library", F.row_number().over(other_place).alias("place"))
    mixed = rows.drop("library").withColumn("place", F.row_number().over(place)).join(labels, "place")
    mixed.drop("place").write.format("delta").save(f"{lake}/shuffled/silver/docstrings")
    training = Training(spark, f"{lake}/shuffled", "shuffled")
    return training.register(training.fit())


@pytest.fixture(scope="module")
def registered(
    spark: SparkSession, lake: str, shuffled: dict[str, Any], fitted: dict[str, Any]
) -> dict[str, Any]:
    return Training(spark, lake, "first").register(fitted)


@pytest.fixture(scope="module")
def rows(spark: SparkSession, lake: str) -> DataFrame:
    return labelled(spark.read.format("delta").load(f"{lake}/silver/docstrings"), SPEC)


@pytest.fixture(scope="module")
def tested(rows: DataFrame) -> Iterator[DataFrame]:
    kept = inputs(ordered(part(rows, "test"), SPEC), SPEC, "label").persist()
    yield kept
    kept.unpersist()


def test_no_module_and_no_text_stands_on_both_sides(rows: DataFrame) -> None:
    for column in ("module", "docstring"):
        parts = rows.groupBy(column).agg({PART: "collect_set"}).toDF(column, "parts")
        assert parts.where("size(parts) > 1").count() == 0, column
    assert rows.count() == rows.select("docstring").distinct().count()
    assert {row[PART] for row in rows.select(PART).distinct().collect()} == {"train", "validate", "test"}


def test_every_trial_is_a_nested_run_and_the_best_one_wins(fitted: dict[str, Any]) -> None:
    client = MlflowClient()
    experiment = client.get_experiment_by_name(MODEL)
    trials = client.search_runs(
        [experiment.experiment_id], f"tags.mlflow.parentRunId = '{fitted['mlflow_run_id']}'"
    )
    assert len(trials) == len(CANDIDATE.grid)
    best = max(trials, key=lambda trial: trial.data.metrics["validation_auc_roc"])
    assert best.data.metrics["validation_auc_roc"] == fitted["validation"]["auc_roc"]
    assert {name: float(value) for name, value in best.data.params.items()} == fitted["params"]


def test_the_fit_depends_on_nothing_in_the_test_part(
    spark: SparkSession, lake: str, fitted: dict[str, Any], rows: DataFrame, tmp_path: Path
) -> None:
    source = spark.read.format("delta").load(f"{lake}/silver/docstrings")
    unique = source.groupBy("docstring").count().where("count = 1").select("docstring")
    hidden = (
        part(rows, "test").join(unique, "docstring").select("qualified_name", F.lit(True).alias("hidden"))
    )
    garbled = source.join(hidden, "qualified_name", "left").withColumn(
        "docstring",
        F.when(F.col("hidden"), F.concat(F.lit("garbled "), "qualified_name")).otherwise(F.col("docstring")),
    )
    assert garbled.where("hidden").count() > 100
    garbled.drop("hidden").write.format("delta").save(f"file://{tmp_path}/silver/docstrings")

    again = Training(spark, f"file://{tmp_path}", "garbled").fit()
    assert again["validation"] == fitted["validation"]
    ours, theirs = (PipelineModel.load(one["model_uri"]).stages[-1] for one in (again, fitted))
    assert (ours.coefficients, ours.intercept) == (theirs.coefficients, theirs.intercept)


def test_a_model_of_shuffled_labels_is_registered_and_not_promoted(
    shuffled: dict[str, Any], registered: dict[str, Any]
) -> None:
    assert (shuffled["alias"], shuffled["champion_version"]) == (None, None)
    assert 0.4 < shuffled["test"]["auc_roc_ci95_low"] < 0.5
    assert "does not lie above 0.5" in shuffled["reason"]
    version = MlflowClient().get_model_version(MODEL, str(shuffled["version"]))
    assert version.aliases == []
    assert version.tags["decision"] == f"not promoted: {shuffled['reason']}"
    assert version.description.startswith("Not promoted: test AUC-ROC 0.")
    run = MlflowClient().get_run(shuffled["mlflow_run_id"]).data
    assert run.metrics["test_auc_roc_ci95_low"] == shuffled["test"]["auc_roc_ci95_low"]
    assert run.tags["millstream.decision"] == version.tags["decision"]
    # The next training, on the right labels, becomes champion.
    assert (registered["alias"], registered["version"]) == ("champion", shuffled["version"] + 1)


def test_a_newcomer_that_is_no_better_than_guessing_leaves_the_champion(race: _Race) -> None:
    race.decide(race.contender(0.9))
    challenger = race.decide(race.contender(0.1))
    guessing = dataclasses.replace(race.contender(2.0), interval=metrics.Interval(0.5, 1.0))
    decision = race.decide(guessing)
    assert (decision.alias, decision.champion_version, race.champion()) == (None, 1, 1)
    # Nor does it take the alias from the version that was compared with the champion.
    assert challenger.alias == "challenger"
    held = MlflowClient().get_model_version_by_alias("race", "challenger").version
    assert int(held) == challenger.version


def test_the_registry_says_where_a_version_comes_from(
    registered: dict[str, Any], fitted: dict[str, Any]
) -> None:
    client = MlflowClient()
    version = client.get_model_version_by_alias(MODEL, "champion")
    assert int(version.version) == registered["version"] == registered["champion_version"]
    assert version.tags["input.silver.docstrings"] == "0"
    assert version.tags["code_version"] == "test"
    assert version.tags["test_auc_roc"] == f"{registered['test']['auc_roc']:.4f}"
    assert version.description.startswith("Champion: the first, with test AUC-ROC")
    figure = f"| AUC-ROC | {registered['test']['auc_roc']:.4f} |"
    validation = f"| **{CANDIDATE.name}** | {fitted['validation']['auc_roc']:.4f} | "
    for line in (figure, validation, "| silver.docstrings | 0 |", f"higher by {SPEC.margin}."):
        assert line in version.description
    assert registered["mlflow_url"].endswith(f"/#/models/{MODEL}/versions/{version.version}")
    low, high = (registered["test"][f"auc_roc_ci95_{end}"] for end in ("low", "high"))
    assert 0.5 < low < registered["test"]["auc_roc"] < high < 1

    run = client.get_run(fitted["mlflow_run_id"])
    assert run.info.run_name == f"{CANDIDATE.name} v{version.version}"
    assert [(one.dataset.name, one.dataset.digest) for one in run.inputs.dataset_inputs] == [
        ("silver.docstrings", "v0")
    ]
    assert {"auc_roc", "auc_pr", "log_loss", "brier", "calibration_error"} <= {
        name.removeprefix("test_") for name in run.data.metrics if name.startswith("test_")
    }
    plots = {Path(one.path).stem for one in client.list_artifacts(run.info.run_id, "plots")}
    assert plots == {"roc", "precision_recall", "calibration", "importance"}
    info = mlflow.models.get_model_info(f"models:/{MODEL}@champion")
    assert info.signature.inputs.input_names() == ["docstring"]
    assert info.saved_input_example_info is not None
    # Better than chance by far, or something between the text and the score is broken.
    assert registered["test"]["auc_roc"] > 0.8


def test_mlflow_itself_loads_what_was_registered(
    fitted: dict[str, Any], registered: dict[str, Any], tested: DataFrame, tmp_path: Path
) -> None:
    uri = f"models:/{MODEL}/{registered['version']}"
    loaded = mlflow.spark.load_model(uri, dfs_tmpdir=str(tmp_path))
    pd.testing.assert_frame_equal(
        scored_pairs(tested, loaded), scored_pairs(tested, PipelineModel.load(fitted["model_uri"]))
    )
    assert own_threshold(loaded) == fitted["threshold"] != 0.5
    described = mlflow.models.Model.load(uri)
    assert list(described.load_input_example().columns) == described.get_input_schema().input_names()


def test_a_retry_of_register_takes_up_the_version_it_left_behind(
    spark: SparkSession, lake: str, fitted: dict[str, Any], registered: dict[str, Any]
) -> None:
    again = Training(spark, lake, "first").register(fitted)
    assert again["version"] == registered["version"]
    assert again["reason"] == registered["reason"]
    # The other one is that of the shuffled labels.
    assert len(MlflowClient().search_model_versions(f"name = '{MODEL}'")) == 2


def test_one_that_is_no_better_becomes_challenger(
    spark: SparkSession, lake: str, registered: dict[str, Any]
) -> None:
    second = Training(spark, lake, "second")
    result = second.register(second.fit())
    assert (result["alias"], result["champion_version"]) == ("challenger", registered["version"])
    assert f"of version {registered['version']} on the same rows" in result["reason"]
    client = MlflowClient()
    assert int(client.get_model_version_by_alias(MODEL, "challenger").version) == result["version"]
    assert int(client.get_model_version_by_alias(MODEL, "champion").version) == registered["version"]


def test_predictions_are_the_champions(
    spark: SparkSession, lake: str, registered: dict[str, Any], rows: DataFrame
) -> None:
    arguments = {
        "lake_root": lake,
        "run": "scoring",
        "model": MODEL,
        "input_version": 0,
        "model_version": registered["version"],
    }
    result = jobs.execute(spark, "score_model", arguments)
    predictions = spark.read.format("delta").load(result["staged_uri"])
    assert result["rows"] == spark.read.format("delta").load(f"{lake}/silver/docstrings").count()
    assert predictions.where("probability BETWEEN 0 AND 1").count() == result["rows"]
    assert predictions.where("predicted != (probability >= threshold)").count() == 0
    assert predictions.select("model_version").distinct().collect()[0][0] == registered["version"]

    answers = predictions.select("qualified_name", "predicted").toPandas().sort_values("qualified_name")
    source = spark.read.format("delta").load(f"{lake}/silver/docstrings")
    asked = inputs(source, SPEC, "qualified_name").toPandas().sort_values("qualified_name")
    expected = answers["predicted"].astype(float).tolist()
    # Some answers depend on the threshold: it is not the one half that Spark begins with.
    doubtful = predictions.where("predicted != (probability > 0.5)").count()
    assert doubtful > 0
    uri = f"models:/{MODEL}/{registered['version']}"
    served = mlflow.pyfunc.load_model(uri)
    assert list(served.predict(asked[["docstring"]])) == expected


def largest(folder: Path) -> Path:
    return max(folder.rglob("*.parquet"), key=lambda path: path.stat().st_size)


def kept(server: MlflowServer, model: str, version: int) -> tuple[Path, Path]:
    """Where the artifact store has a registered version, and where the figures and tables of its run."""
    registered = MlflowClient().get_model_version(model, str(version))
    logged = MlflowClient().get_logged_model(registered.source.removeprefix("models:/"))
    run = MlflowClient().get_run(logged.source_run_id)
    model_folder, run_folder = (
        server.artifacts / uri.partition("mlflow-artifacts:/")[2]
        for uri in (logged.artifact_location, run.info.artifact_uri)
    )
    return model_folder, run_folder


@contextmanager
def tampered(server: MlflowServer, model: str, version: int) -> Iterator[None]:
    """Within the block one byte of the registered version's stored pipeline is another."""
    victim = largest(kept(server, model, version)[0] / digest.PIPELINE)
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        yield
    finally:
        victim.write_bytes(whole)


def test_a_tampered_model_is_not_served(
    spark: SparkSession, lake: str, registered: dict[str, Any], server: MlflowServer, tmp_path: Path
) -> None:
    arguments = {
        "run": "tampered",
        "model": MODEL,
        "input_version": 0,
        "model_version": registered["version"],
    }
    rows = spark.read.format("delta").load(f"{lake}/silver/docstrings")
    root = f"file://{tmp_path}"
    rows.write.format("delta").save(f"{root}/silver/docstrings")
    with (
        tampered(server, MODEL, registered["version"]),
        pytest.raises(ArtifactDigestError, match="were changed after it was registered, and are not served"),
    ):
        jobs.execute(spark, "score_model", {"lake_root": root, **arguments})
    assert jobs.execute(spark, "score_model", {"lake_root": root, **arguments})["rows"] == rows.count()

    copy = largest(tmp_path / "models")
    copy.write_bytes(b"changed in the lake")
    again = jobs.execute(spark, "score_model", {"lake_root": root, **arguments, "run": "again"})
    assert again["rows"] == rows.count()
    assert copy.read_bytes() != b"changed in the lake"


class _Race:
    """Contenders with a chosen AUC, for a registered model of their own."""

    def __init__(self, model_uri: str, tested: DataFrame, folder: Path) -> None:
        self.spec = dataclasses.replace(SPEC, name="race")
        self.model_uri, self.tested, self.folder = model_uri, tested, folder
        mlflow.set_experiment(self.spec.name)

    def contender(self, auc: float, **renamed: str) -> promotion.Contender:
        example = self.tested.drop("label").limit(2).toPandas().rename(columns=renamed)
        with mlflow.start_run() as run:
            uri = stored.log(PipelineModel.load(self.model_uri), self.model_uri, example, "race", 0.0)
        tags = {"mlflow_run_id": run.info.run_id, "candidate": "x", "code_version": "test"}
        with stored.read_back(mlflow, uri, f"{self.folder.as_uri()}/read_back") as (_, sha256):
            better_than_guessing = metrics.Interval(0.6, 1.0)
            return promotion.Contender(uri, auc, better_than_guessing, {**tags, digest.TAG: sha256})

    def decide(self, contender: promotion.Contender) -> promotion.Decision:
        root = self.folder.as_uri()
        return promotion.decide(mlflow, self.spec, contender, self.tested, root)

    def champion(self) -> int:
        return int(MlflowClient().get_model_version_by_alias(self.spec.name, "champion").version)


@pytest.fixture
def race(fitted: dict[str, Any], tested: DataFrame, tmp_path: Path) -> Iterator[_Race]:
    yield _Race(fitted["model_uri"], tested, tmp_path)
    MlflowClient().delete_registered_model("race")


def test_promotions_at_once_come_one_after_the_other(race: _Race) -> None:
    contenders = [race.contender(2.0 + step) for step in range(3)]
    with ThreadPoolExecutor(len(contenders)) as pool:
        decisions = list(pool.map(race.decide, contenders))
    # Any contender here is far better than what its champion scores, so each in turn becomes champion.
    assert {decision.alias for decision in decisions} == {"champion"}
    last = max(decisions, key=lambda decision: decision.version)
    assert race.champion() == last.version
    for decision in sorted(decisions, key=lambda decision: decision.version)[1:]:
        assert f"of version {decision.version - 1} on the same rows" in decision.reason


@pytest.mark.thorough
def test_a_champion_that_asks_for_columns_that_are_gone_is_replaced(race: _Race) -> None:
    race.decide(race.contender(0.9, docstring="renamed_since"))
    decision = race.decide(race.contender(0.1))
    assert decision.alias == "champion"
    assert "version 1 asks for columns that are gone: renamed_since" in decision.reason


@pytest.mark.thorough
def test_a_champion_whose_files_have_changed_is_replaced(race: _Race, server: MlflowServer) -> None:
    race.decide(race.contender(0.9))
    with tampered(server, race.spec.name, 1):
        decision = race.decide(race.contender(0.1))
    assert (decision.version, decision.alias) == (2, "champion")
    assert "were changed after it was registered" in decision.reason


def test_an_attempt_that_died_before_the_alias_moved_is_finished(race: _Race) -> None:
    contender = race.contender(0.9)
    mlflow.register_model(contender.uri, race.spec.name, tags=contender.tags)
    decision = race.decide(contender)
    assert (decision.version, decision.alias) == (1, "champion")


def test_rows_of_one_label_are_told_before_anything_is_fitted(
    spark: SparkSession, server: MlflowServer, tmp_path: Path, lake: str
) -> None:
    rows = spark.read.format("delta").load(f"{lake}/silver/docstrings").where("library != 'pyspark'")
    rows.write.format("delta").save(f"file://{tmp_path}/silver/docstrings")
    alike = r"all have the same label in the part\(s\) train \(all 0\), validate \(all 0\), test \(all 0\)"
    with pytest.raises(SourceDataError, match=alike):
        Training(spark, f"file://{tmp_path}", "alike").fit()


def test_a_missing_part_is_told_before_anything_is_fitted(
    spark: SparkSession, server: MlflowServer, tmp_path: Path, lake: str
) -> None:
    one_module = (
        spark.read.format("delta").load(f"{lake}/silver/docstrings").where("library = 'click'").limit(1)
    )
    one_module.write.format("delta").save(f"file://{tmp_path}/silver/docstrings")
    with pytest.raises(
        SourceDataError, match=r"no labelled rows for the part\(s\).*What to do: ingest the missing period"
    ):
        Training(spark, f"file://{tmp_path}", "empty").fit()


@contextmanager
def stopped_during(server: MlflowServer, run: str) -> Iterator[None]:
    """The server stops as soon as the training has begun a run there; without one it fails the test."""
    begun = threading.Event()

    def stop() -> None:
        deadline = time.monotonic() + 120
        experiment = MlflowClient().get_experiment_by_name(MODEL).experiment_id
        while time.monotonic() < deadline and not begun.is_set():
            if MlflowClient().search_runs([experiment], f"tags.`millstream.training` = '{run}'"):
                begun.set()
                server.stop()
            time.sleep(0.1)

    watching = threading.Thread(target=stop)
    watching.start()
    try:
        yield
    finally:
        watching.join()
    assert begun.is_set(), "no run has begun"


@pytest.mark.thorough
def test_without_mlflow_a_person_is_told_and_a_retry_heals(
    spark: SparkSession, lake: str, server: MlflowServer, registered: dict[str, Any]
) -> None:
    versions = len(MlflowClient().search_model_versions(f"name = '{MODEL}'"))
    third = Training(spark, lake, "third")
    try:
        with stopped_during(server, "third"), pytest.raises(TrackingError):
            third.fit()
        with pytest.raises(TrackingError, match=r"does not answer.*make status.*Nothing was registered"):
            third.fit()
    finally:
        server.start()
    fitted = third.fit()
    server.stop()
    try:
        with pytest.raises(TrackingError, match="does not answer"):
            third.register(fitted)
    finally:
        server.start()
    assert len(MlflowClient().search_model_versions(f"name = '{MODEL}'")) == versions
    assert third.register(fitted)["version"] == versions + 1


def size(folder: Path) -> int:
    """What the folder's files take on a disk of 4 KiB blocks."""
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return sum(-(-one // 4096) * 4096 for one in sizes)


@pytest.mark.thorough
def test_an_artifact_store_that_fails_in_the_middle_leaves_no_version(
    spark: SparkSession, lake: str, server: MlflowServer, registered: dict[str, Any]
) -> None:
    """Its disk is full when some of the model's files are there."""
    versions = len(MlflowClient().search_model_versions(f"name = '{MODEL}'"))
    model, figures = kept(server, MODEL, registered["version"])
    whole = size(model)
    training = Training(spark, lake, "full")
    fitted = training.fit()
    with mounted(server.artifacts, size(figures) + whole // 2) as disk:
        with pytest.raises(TrackingError, match=r"500 error responses.*make logs S=mlflow.*clear the task"):
            training.register(fitted)
        stored = sum(size(one) for one in disk.glob("*/models/*/artifacts"))
        assert 0 < stored < whole, "it did not fail in the middle of the model"
    assert len(MlflowClient().search_model_versions(f"name = '{MODEL}'")) == versions
    assert training.register(fitted)["version"] == versions + 1
