"""Register the best candidate: test it once, log it, read it back, and decide who is champion."""

from __future__ import annotations

import json
import logging
from typing import Any

import pandas as pd
from pyspark.sql import DataFrame, SparkSession

from millstream.errors import ConfigurationError, ReadBackError
from millstream.jobs import JobModel
from millstream.jobs.fit_candidate import Result as Fitted
from millstream.jobs.fit_candidate import candidate_uri
from millstream.lake.names import CandidateName, RunKey
from millstream.lake.reading import read_at
from millstream.lake.storage import Storage
from millstream.ml import digest, plots, promotion, stored, tracking
from millstream.ml.dataset import LABEL, labelled, ordered, part, persisted
from millstream.ml.descriptions import Elsewhere, described
from millstream.ml.objectives import objective_of
from millstream.ml.pipelines import feature_names, inputs, weights
from millstream.ml.spec import ModelSpec
from millstream.models import model_spec

log = logging.getLogger(__name__)

EXAMPLE_ROWS = 5
CHECKED_ROWS = 2_000


class Args(JobModel):
    """`candidates` are the results of `fit_candidate`; `run_url` is Airflow's page of this training, and
    `data_docs_url` where verdicts are."""

    lake_root: str
    run: RunKey
    model: str
    candidates: list[dict[str, Any]]
    input_version: int
    code_version: str
    run_url: str | None = None
    data_docs_url: str | None = None


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
    objective, metric = objective_of(spec), spec.metric.name
    candidates = [Fitted.model_validate(candidate) for candidate in args.candidates]
    best = max(candidates, key=lambda candidate: candidate.validation[metric])
    _require_own(best, args)
    mlflow = tracking.connect(spec.name)
    model = stored.load(best.model_uri)
    rows = labelled(read_at(spark, spec.input_table, args.lake_root, args.input_version), spec)
    with (
        persisted(inputs(ordered(part(rows, "test"), spec), spec, LABEL)) as test,
        tracking.failures(),
        mlflow.start_run(run_id=best.mlflow_run_id) as active,
    ):
        scored = _score_test_part(mlflow, spec, test, model)
        interval = objective.interval(scored, spec)
        summary = {
            **objective.summary(scored, spec),
            f"{metric}_ci95_low": interval.low,
            f"{metric}_ci95_high": interval.high,
        }
        _log_figures(mlflow, spec, best, model, scored, summary)
        mlflow.set_tag("millstream.model", spec.name)
        example = test.drop(LABEL).limit(EXAMPLE_ROWS).toPandas()
        answer = spec.classes[0] if spec.classes else 0.0
        uri = stored.log(model, best.model_uri, example, spec.name, answer)
        sha256 = _check_read_back(mlflow, spec, uri, model, test, best.model_uri)
        tags = {**_tags(args, spec, best, summary), digest.TAG: sha256}
        page = tracking.run_page(active.info.experiment_id, active.info.run_id)
        details = described(spec, candidates, summary, tags, page, _elsewhere(args, spec))
        if args.run_url:
            mlflow.set_tag("millstream.airflow_run", args.run_url)
        contender = promotion.Contender(uri, summary[metric], interval, tags, details)
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


def _score_test_part(mlflow: Any, spec: ModelSpec, test: DataFrame, model: Any) -> pd.DataFrame:
    """The one call that scores the test part; the run says when."""
    scored = objective_of(spec).scored(test, model, spec)
    mlflow.log_param("rows_test_scored", len(scored))
    mlflow.set_tag("millstream.test_scored", pd.Timestamp.now(tz="UTC").isoformat())
    return scored


def _log_figures(
    mlflow: Any, spec: ModelSpec, best: Fitted, model: Any, scored: pd.DataFrame, summary: dict[str, float]
) -> None:
    mlflow.log_metrics({f"test_{name}": value for name, value in summary.items()})
    objective, weights = objective_of(spec), _weights(spec, best, model)
    figures = {**objective.figures(scored, spec), "importance": plots.importance(weights)}
    for name, figure in figures.items():
        mlflow.log_figure(figure, f"plots/{name}.png")
    for name, table in {**objective.tables(scored, spec), "importance": weights}.items():
        mlflow.log_table(table, f"tables/{name}.json")


def _weights(spec: ModelSpec, best: Fitted, model: Any) -> pd.DataFrame:
    """Columns feature and weight (coefficient, or importance), largest magnitude first."""
    candidate = spec.candidate(best.candidate)
    names = feature_names(spec, candidate, model)
    table = pd.DataFrame({"feature": names, "weight": weights(spec, candidate, model, len(names))})
    return table.reindex(table["weight"].abs().sort_values(ascending=False).index)


def _check_read_back(
    mlflow: Any, spec: ModelSpec, uri: str, model: Any, test: DataFrame, model_uri: str
) -> str:
    """Load what was stored and compare scores row by row; returns its digest. Raises ReadBackError."""
    objective = objective_of(spec)
    with (
        stored.read_back(mlflow, uri, f"{model_uri}.read_back") as (loaded, sha256),
        persisted(test.limit(CHECKED_ROWS)) as rows,
    ):
        if not objective.scored(rows, model, spec).equals(objective.scored(rows, loaded, spec)):
            raise ReadBackError(
                f"{uri}: the stored model scores {CHECKED_ROWS} test rows differently, and was not "
                "registered: see `make logs S=mlflow`, then clear the task"
            )
    return sha256


def _require_own(best: Fitted, args: Args) -> None:
    """Raise ConfigurationError unless the candidate lies where this training has put its own."""
    if best.model_uri != candidate_uri(args.lake_root, args.model, args.run, best.candidate):
        raise ConfigurationError(f"not a candidate of this training: {best.model_uri}")


def _elsewhere(args: Args, spec: ModelSpec) -> Elsewhere:
    if args.data_docs_url is None:
        return Elsewhere(args.run_url)
    versions = tracking.input_versions(spec, args.lake_root, args.input_version)
    pages = tracking.verdict_pages(args.lake_root, versions)
    return Elsewhere(args.run_url, {name: f"{args.data_docs_url}{page}" for name, page in pages.items()})


def _tags(args: Args, spec: ModelSpec, best: Fitted, summary: dict[str, float]) -> dict[str, str]:
    versions = tracking.input_versions(spec, args.lake_root, args.input_version)
    return {
        "candidate": best.candidate,
        **({} if best.threshold is None else {"threshold": f"{best.threshold:.2f}"}),
        "training": args.run,
        "code_version": args.code_version,
        "mlflow_run_id": best.mlflow_run_id,
        f"validation_{spec.metric.name}": f"{best.validation[spec.metric.name]:.4f}",
        **{f"test_{name}": f"{value:.4f}" for name, value in summary.items()},
        **{f"input.{table}": str(version) for table, version in versions.items()},
    }
