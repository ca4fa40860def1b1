"""Fit one candidate: choose its settings on the validation part, refit on train and validation together.

The encoders learn from the train part alone, so that a refit differs from its trial in the rows only.
The test part is not touched here. Every trial is a nested run in MLflow.
"""

from __future__ import annotations

import time
from typing import Any

from pyspark.ml import Pipeline, PipelineModel
from pyspark.sql import DataFrame, SparkSession

from millstream.jobs import JobModel
from millstream.lake.names import CandidateName, RunKey
from millstream.lake.reading import read_at
from millstream.ml import tracking
from millstream.ml.dataset import LABEL, PART, counted, labelled, ordered, part, persisted
from millstream.ml.objectives import objective_of
from millstream.ml.pipelines import VECTOR, answers, encoders, estimator, inputs
from millstream.ml.spec import Candidate, ModelSpec, Params
from millstream.models import model_spec


class Args(JobModel):
    """`input_version` pins the model's input table."""

    lake_root: str
    run: RunKey
    model: str
    candidate: CandidateName
    input_version: int
    code_version: str


class Result(JobModel):
    """Where the fitted pipeline lies, and how it did on the validation part."""

    candidate: CandidateName
    model_uri: str
    params: dict[str, float | int | str]
    validation: dict[str, float]
    threshold: float | None
    rows: dict[str, int]
    seconds: float
    mlflow_run_id: str
    mlflow_url: str


def run(spark: SparkSession, args: Args) -> Result:
    spec = model_spec(args.model)
    candidate = spec.candidate(args.candidate)
    mlflow = tracking.connect(spec.name)
    began = time.monotonic()
    labelled_rows = labelled(read_at(spark, spec.input_table, args.lake_root, args.input_version), spec)
    with (
        persisted(inputs(ordered(labelled_rows, spec), spec, LABEL, PART)) as rows,
        tracking.failures(),
        mlflow.start_run(run_name=candidate.name) as active,
    ):
        counts = counted(rows, spec)
        mlflow.set_tags(
            {
                "millstream.training": args.run,
                "millstream.code_version": args.code_version,
                "candidate": candidate.name,
                "mlflow.note.content": f"{spec.description} Candidate {candidate.name}.",
            }
        )
        mlflow.log_params({f"rows_{name}": count for name, count in sorted(counts.items())})
        encoder = Pipeline(stages=encoders(spec, candidate)).fit(part(rows, "train"))
        encoded = encoder.transform(part(rows, "train", "validate")).select(LABEL, PART, VECTOR)
        # Every fit goes over its rows several times.
        with persisted(encoded) as matrix:
            best, scored = _tune(mlflow, matrix, spec, candidate)
            refitted = estimator(spec, candidate, best).fit(matrix)
        uri = candidate_uri(args.lake_root, args.model, args.run, args.candidate)
        fitted = PipelineModel([*encoder.stages, refitted, *answers(spec, candidate)])
        objective = objective_of(spec)
        threshold = objective.settle(fitted, scored)
        fitted.write().overwrite().save(uri)
        summary = objective.summary(scored, spec)
        mlflow.log_params(best)
        mlflow.log_metrics({f"validation_{name}": value for name, value in summary.items()})
        seconds = round(time.monotonic() - began, 1)
        mlflow.log_metric("fit_seconds", seconds)
        tracking.log_inputs(
            mlflow, args.lake_root, tracking.input_versions(spec, args.lake_root, args.input_version)
        )
    return Result(
        candidate=candidate.name,
        model_uri=uri,
        params=best,
        validation=summary,
        threshold=threshold,
        rows=counts,
        seconds=seconds,
        mlflow_run_id=active.info.run_id,
        mlflow_url=tracking.url(tracking.run_page(active.info.experiment_id, active.info.run_id)),
    )


def candidate_uri(lake_root: str, model: str, run: str, candidate: str) -> str:
    """Where a training keeps the fitted pipeline of a candidate."""
    return f"{lake_root.rstrip('/')}/models/{model}/{run}/{candidate}"


def _tune(mlflow: Any, matrix: DataFrame, spec: ModelSpec, candidate: Candidate) -> tuple[Params, Any]:
    """The setting with the highest validation metric, and its labels and scores."""
    objective = objective_of(spec)
    train = part(matrix, "train").sample(spec.trial_share, spec.seed)
    validate = part(matrix, "validate")
    trials: list[tuple[float, Params, Any]] = []
    for number, params in enumerate(candidate.grid, start=1):
        with mlflow.start_run(run_name=f"trial {number}", nested=True):
            scored = objective.scored(validate, estimator(spec, candidate, params).fit(train), spec)
            summary = objective.summary(scored, spec)
            mlflow.log_params(params)
            mlflow.log_metrics({f"validation_{name}": value for name, value in summary.items()})
            trials.append((summary[spec.metric.name], params, scored))
    _, best, scored = max(trials, key=lambda trial: trial[0])
    return best, scored
