"""Register the best candidate: test it once, log it, read it back, and decide who is champion."""

from __future__ import annotations

import json
import logging
from typing import Any

import pandas as pd
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame, SparkSession

from millstream.errors import ConfigurationError, ReadBackError
from millstream.jobs import JobModel
from millstream.jobs.fit_candidate import Result as Fitted
from millstream.jobs.fit_candidate import candidate_uri
from millstream.lake.names import CandidateName, RunKey
from millstream.lake.reading import read_at
from millstream.lake.storage import Storage
from millstream.ml import digest, metrics, plots, promotion, stored, tracking
from millstream.ml.dataset import LABEL, labelled, ordered, part, persisted
from millstream.ml.descriptions import described
from millstream.ml.pipelines import feature_names, inputs
from millstream.ml.scoring import scored_pairs
from millstream.ml.spec import ModelSpec
from millstream.models import model_spec

log = logging.getLogger(__name__)

EXAMPLE_ROWS = 5
CHECKED_ROWS = 2_000


class Args(JobModel):
    """`candidates` are the results of `fit_candidate`."""

    lake_root: str
    run: RunKey
    model: str
    candidates: list[dict[str, Any]]
    input_version: int
    code_version: str


class Result(JobModel):
    """The registered version and whether it became champion.

    alias: champion or challenger; none for a version that is no better than guessing.
    champion_version: the champion after this training, if there is one.
    mlflow_url: the version's page in the registry.
    """

    model: str
    version: int
    candidate: CandidateName
    alias: str | None
    reason: str
    test: dict[str, float]
    champion_version: int | None
    mlflow_run_id: str
    mlflow_url: str


def run(spark: SparkSession, args: Args) -> Result:
    spec = model_spec(args.model)
    candidates = [Fitted.model_validate(candidate) for candidate in args.candidates]
    best = max(candidates, key=_validation_auc)
    _require_own(best, args)
    mlflow = tracking.connect(spec.name)
    model = PipelineModel.load(best.model_uri)
    rows = labelled(read_at(spark, spec.input_table, args.lake_root, args.input_version), spec)
    with (
        persisted(inputs(ordered(part(rows, "test"), spec), spec, LABEL)) as test,
        tracking.failures(),
        mlflow.start_run(run_id=best.mlflow_run_id) as active,
    ):
        scored = _score_test_part(mlflow, test, model)
        interval = metrics.auc_interval(scored)
        summary = {
            **metrics.summary(scored),
            "auc_roc_ci95_low": interval.low,
            "auc_roc_ci95_high": interval.high,
        }
        _log_figures(mlflow, spec, best, model, scored, summary)
        mlflow.set_tag("millstream.model", spec.name)
        uri = stored.log(model, best.model_uri, test.drop(LABEL).limit(EXAMPLE_ROWS).toPandas(), spec.name)
        sha256 = _check_read_back(mlflow, uri, model, test, best.model_uri)
        tags = {**_tags(args, spec, best, summary), digest.TAG: sha256}
        page = tracking.run_page(active.info.experiment_id, active.info.run_id)
        details = described(spec, candidates, summary, tags, page)
        contender = promotion.Contender(uri, summary["auc_roc"], interval, tags, details)
        decision = promotion.decide(mlflow, spec, contender, test, args.lake_root)
        mlflow.set_tag(tracking.DECISION_TAG, decision.in_words)
        # In the list of runs: which version it has become.
        mlflow.set_tag("mlflow.runName", f"{best.candidate} v{decision.version}")
    level = logging.WARNING if decision.alias is None else logging.INFO
    log.log(level, "%s version %s, %s", spec.name, decision.version, decision.in_words)
    result = Result(
        model=spec.name,
        version=decision.version,
        candidate=best.candidate,
        alias=decision.alias,
        reason=decision.reason,
        test=summary,
        champion_version=decision.champion_version,
        mlflow_run_id=best.mlflow_run_id,
        mlflow_url=tracking.url(tracking.version_page(spec.name, decision.version)),
    )
    _remember(args, result)
    return result


def latest_path(model: str) -> str:
    """Where the outcome of the newest training of `model` lies, relative to the lake root."""
    return f"models/{model}/latest.json"


def _remember(args: Args, result: Result) -> None:
    record = {"input_version": args.input_version, "code_version": args.code_version, **result.model_dump()}
    Storage(args.lake_root).write(latest_path(args.model), json.dumps(record, indent=2).encode())


def _validation_auc(fitted: Fitted) -> float:
    return fitted.validation["auc_roc"]


def _score_test_part(mlflow: Any, test: DataFrame, model: Any) -> pd.DataFrame:
    """The one call that scores the test part; the run says when."""
    scored = scored_pairs(test, model)
    mlflow.log_param("rows_test_scored", len(scored))
    mlflow.set_tag("millstream.test_scored", pd.Timestamp.now(tz="UTC").isoformat())
    return scored


def _log_figures(
    mlflow: Any, spec: ModelSpec, best: Fitted, model: Any, scored: pd.DataFrame, summary: dict[str, float]
) -> None:
    mlflow.log_metrics({f"test_{name}": value for name, value in summary.items()})
    mlflow.log_figure(plots.roc(scored), "plots/roc.png")
    mlflow.log_figure(plots.precision_recall(scored), "plots/precision_recall.png")
    mlflow.log_figure(plots.calibration_curve(scored), "plots/calibration.png")
    weights = _weights(spec, best, model)
    mlflow.log_figure(plots.importance(weights), "plots/importance.png")
    mlflow.log_table(metrics.thresholds(scored), "tables/thresholds.json")
    mlflow.log_table(metrics.calibration(scored), "tables/calibration.json")
    mlflow.log_table(weights, "tables/importance.json")


def _weights(spec: ModelSpec, best: Fitted, model: Any) -> pd.DataFrame:
    """Columns feature and weight (coefficient, or impurity importance), largest magnitude first."""
    candidate = spec.candidate(best.candidate)
    last = model.stages[-1]
    linear = candidate.algorithm == "logistic_regression"
    values = (last.coefficients if linear else last.featureImportances).toArray()
    table = pd.DataFrame({"feature": feature_names(spec, candidate, model), "weight": values})
    return table.reindex(table["weight"].abs().sort_values(ascending=False).index)


def _check_read_back(mlflow: Any, uri: str, model: Any, test: DataFrame, model_uri: str) -> str:
    """Load what was stored and compare scores row by row; returns its digest. Raises ReadBackError."""
    with (
        stored.read_back(mlflow, uri, f"{model_uri}.read_back") as (loaded, sha256),
        persisted(test.limit(CHECKED_ROWS)) as rows,
    ):
        if not scored_pairs(rows, model).equals(scored_pairs(rows, loaded)):
            raise ReadBackError(
                f"{uri}: the stored model scores {CHECKED_ROWS} test rows differently, and was not "
                "registered: see `make logs S=mlflow`, then clear the task"
            )
    return sha256


def _require_own(best: Fitted, args: Args) -> None:
    """Raise ConfigurationError unless the candidate lies where this training has put its own."""
    if best.model_uri != candidate_uri(args.lake_root, args.model, args.run, best.candidate):
        raise ConfigurationError(f"not a candidate of this training: {best.model_uri}")


def _tags(args: Args, spec: ModelSpec, best: Fitted, summary: dict[str, float]) -> dict[str, str]:
    versions = tracking.input_versions(spec, args.lake_root, args.input_version)
    return {
        "candidate": best.candidate,
        "threshold": f"{best.threshold:.2f}",
        "training": args.run,
        "code_version": args.code_version,
        "mlflow_run_id": best.mlflow_run_id,
        "validation_auc_roc": f"{best.validation['auc_roc']:.4f}",
        **{f"test_{name}": f"{value:.4f}" for name, value in summary.items()},
        **{f"input.{table}": str(version) for table, version in versions.items()},
    }
