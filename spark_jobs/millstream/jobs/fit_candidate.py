"""Fit one candidate: choose its settings on the validation part, refit on train and validation together.

The test part is not touched here. Every trial is a nested run in MLflow.
"""

from __future__ import annotations

import time
from typing import Any

from pyspark.ml import Pipeline
from pyspark.sql import DataFrame, SparkSession

from millstream.jobs import JobModel
from millstream.lake.tables import TableRef
from millstream.ml import metrics, tracking
from millstream.ml.dataset import LABEL, PART, labelled, part, require_rows
from millstream.ml.pipelines import encoders, estimator, inputs
from millstream.ml.scoring import scored_pairs
from millstream.ml.spec import Candidate, ModelSpec, Params
from millstream.models import model_spec


class Args(JobModel):
    """`input_version` pins the model's input table."""

    lake_root: str
    run: str
    model: str
    candidate: str
    input_version: int
    code_version: str


class Result(JobModel):
    """Where the fitted pipeline lies, and how it did on the validation part."""

    candidate: str
    model_uri: str
    params: dict[str, float | int | str]
    validation: dict[str, float]
    threshold: float
    rows: dict[str, int]
    seconds: float
    mlflow_run_id: str
    mlflow_url: str


def run(spark: SparkSession, args: Args) -> Result:
    spec = model_spec(args.model)
    candidate = spec.candidate(args.candidate)
    mlflow = tracking.connect(spec.name)
    began = time.monotonic()
    rows = labelled(_input_rows(spark, spec, args), spec)
    counts = {row[PART]: row["count"] for row in rows.groupBy(PART).count().collect()}
    require_rows(counts, spec)
    with tracking.failures(), mlflow.start_run(run_name=f"{candidate.name} {args.run}") as active:
        mlflow.set_tags(
            {
                "millstream.training": args.run,
                "millstream.code_version": args.code_version,
                "candidate": candidate.name,
                "mlflow.note.content": f"{spec.description} Candidate {candidate.name}.",
            }
        )
        mlflow.log_params({f"rows_{name}": count for name, count in sorted(counts.items())})
        best, pairs = _tune(mlflow, rows, spec, candidate)
        model = _fit(rows, spec, candidate, best)
        uri = _model_uri(args)
        model.write().overwrite().save(uri)
        found = metrics.summary(pairs)
        mlflow.log_params(best)
        mlflow.log_metrics({f"validation_{name}": value for name, value in found.items()})
        seconds = round(time.monotonic() - began, 1)
        mlflow.log_metric("fit_seconds", seconds)
        tracking.log_inputs(
            mlflow, args.lake_root, tracking.input_versions(spec, args.lake_root, args.input_version)
        )
    return Result(
        candidate=candidate.name,
        model_uri=uri,
        params=best,
        validation=found,
        threshold=metrics.best_threshold(pairs),
        rows=counts,
        seconds=seconds,
        mlflow_run_id=active.info.run_id,
        mlflow_url=tracking.run_url(active.info.experiment_id, active.info.run_id),
    )


def _input_rows(spark: SparkSession, spec: ModelSpec, args: Args) -> DataFrame:
    uri = TableRef.parse(spec.input_table).uri(args.lake_root)
    return spark.read.format("delta").option("versionAsOf", args.input_version).load(uri)


def _model_uri(args: Args) -> str:
    return f"{args.lake_root.rstrip('/')}/models/{args.model}/{args.run}/{args.candidate}"


def _tune(mlflow: Any, rows: DataFrame, spec: ModelSpec, candidate: Candidate) -> tuple[Params, Any]:
    """The setting with the highest validation AUC-ROC, and its (label, score) pairs."""
    train = inputs(part(rows, spec, "train"), spec, LABEL)
    encoder = Pipeline(stages=encoders(spec, candidate)).fit(train)
    # Encoded once for all settings; the server frees it with the session at the latest.
    vectors = encoder.transform(train).select(LABEL, "features").persist()
    validate = encoder.transform(inputs(part(rows, spec, "validate"), spec, LABEL))
    validate = validate.select(LABEL, "features").persist()
    trials: list[tuple[float, Params, Any]] = []
    try:
        for number, params in enumerate(candidate.grid, start=1):
            with mlflow.start_run(run_name=f"{candidate.name} trial {number}", nested=True):
                fitted = estimator(spec, candidate, params).fit(vectors)
                pairs = scored_pairs(validate, fitted)
                found = metrics.summary(pairs)
                mlflow.log_params(params)
                mlflow.log_metrics({f"validation_{name}": value for name, value in found.items()})
                trials.append((found["auc_roc"], params, pairs))
    finally:
        vectors.unpersist()
        validate.unpersist()
    _, best, pairs = max(trials, key=lambda trial: trial[0])
    return best, pairs


def _fit(rows: DataFrame, spec: ModelSpec, candidate: Candidate, params: Params) -> Any:
    """The whole pipeline, fitted on train and validation together."""
    stages = [*encoders(spec, candidate), estimator(spec, candidate, params)]
    return Pipeline(stages=stages).fit(inputs(part(rows, spec, "train", "validate"), spec, LABEL))
