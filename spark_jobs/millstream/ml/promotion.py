"""Registration and promotion: under a lock, compared on the same rows, by a margin, with the reason recorded.

Before a version is compared it has to be better than guessing: the 95 % interval of its objective's metric
lies above that of a predictor that gives every row the same answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame

from millstream.errors import ArtifactDigestError
from millstream.lake.storage import Storage
from millstream.ml import metrics, stored
from millstream.ml.objectives import objective_of
from millstream.ml.spec import ModelSpec
from millstream.ml.tracking import CHALLENGER, CHAMPION

LOCK_TIMEOUT_S = 300.0
# What the registry says of a version that gets no alias.
NOT_PROMOTED = "not promoted"


@dataclass(frozen=True)
class Contender:
    """A logged model, its metric on the test rows with the interval, tags about its origin, and what the
    registry says of it below the decision, in Markdown."""

    uri: str
    value: float
    interval: metrics.Interval
    tags: dict[str, str]
    details: str = ""


@dataclass(frozen=True)
class Decision:
    """`alias` is None for a version no better than guessing, `champion_version` when there is no champion."""

    version: int
    alias: str | None
    reason: str
    champion_version: int | None

    @property
    def in_words(self) -> str:
        return f"{self.alias or NOT_PROMOTED}: {self.reason}"


def decide(mlflow: Any, spec: ModelSpec, contender: Contender, test: DataFrame, lake_root: str) -> Decision:
    """Register the contender; make it champion if it beats guessing, and the present champion by the margin.

    MLflow's aliases are last-writer-wins, so reading the champion and moving the alias happen under one
    lock. `test` are the rows that gave the contender's metric. The reason is recorded before the alias moves,
    and a retry continues with the version of a failed attempt, so every champion has its reason.
    """
    client = mlflow.MlflowClient()
    with Storage(lake_root).lock(f"promote-{spec.name}", LOCK_TIMEOUT_S):
        champion = _champion(client, spec.name)
        version = _left_behind(client, spec.name, contender) or mlflow.register_model(
            contender.uri, spec.name, tags=contender.tags
        )
        alias: str | None
        if champion is not None and champion.version == version.version:
            alias, reason = CHAMPION, champion.tags["decision"].removeprefix(f"{CHAMPION}: ")
        elif contender.interval.low <= spec.metric.naive:
            alias, reason = None, _no_better_than_guessing(contender, spec)
        else:
            won, reason = _compare(mlflow, spec, contender, champion, test, lake_root)
            alias = CHAMPION if won else CHALLENGER
        _explain(client, spec, version.version, alias or NOT_PROMOTED, reason, contender)
        if alias is not None:
            client.set_registered_model_alias(spec.name, alias, version.version)
    present = version if alias == CHAMPION else champion
    return Decision(int(version.version), alias, reason, None if present is None else int(present.version))


def _explain(
    client: Any, spec: ModelSpec, version: str, decided: str, reason: str, contender: Contender
) -> None:
    """Record in the registry the decision about a version, and its reason."""
    client.update_registered_model(spec.name, description=spec.description)
    client.update_model_version(
        spec.name, version, description=f"{decided.capitalize()}: {reason}.\n\n{contender.details}".strip()
    )
    client.set_model_version_tag(spec.name, version, "decision", f"{decided}: {reason}")


def _no_better_than_guessing(contender: Contender, spec: ModelSpec) -> str:
    return (
        f"{_measured(contender, spec)}, does not lie above {spec.metric.naive:g}, which one answer for all "
        f"rows would have. Look whether the label ({spec.label}) is right, and whether the features of "
        f"{spec.input_table} belong to its rows; correct that, then train again"
    )


def _measured(contender: Contender, spec: ModelSpec) -> str:
    low, high = contender.interval.low, contender.interval.high
    return f"{_value(contender, spec)}, 95 % interval {low:.4f} to {high:.4f}"


def _value(contender: Contender, spec: ModelSpec) -> str:
    return f"test {spec.metric.in_words} {contender.value:.4f}"


def _left_behind(client: Any, name: str, contender: Contender) -> Any:
    """The version that an earlier attempt of this training registered, if there is one."""
    versions = client.search_model_versions(
        f"name = '{name}' and run_id = '{contender.tags['mlflow_run_id']}'", max_results=1
    )
    return versions[0] if versions else None


def _compare(
    mlflow: Any, spec: ModelSpec, contender: Contender, champion: Any, test: DataFrame, lake_root: str
) -> tuple[bool, str]:
    """Whether the contender becomes champion, and why."""
    ours = _value(contender, spec)
    if champion is None:
        return True, f"the first, with {_measured(contender, spec)}, above {spec.metric.naive:g}"
    uri = f"models:/{champion.name}/{champion.version}"
    missing = set(mlflow.models.get_model_info(uri).signature.inputs.input_names()) - set(test.columns)
    if missing:
        columns = ", ".join(sorted(missing))
        return True, f"{ours}; version {champion.version} asks for columns that are gone: {columns}"
    try:
        model = stored.load(stored.in_lake(mlflow, champion, lake_root))
    except ArtifactDigestError as error:
        return True, f"{ours}; {error}"
    objective = objective_of(spec)
    present = objective.summary(objective.scored(test, model, spec), spec)[spec.metric.name]
    reason = (
        f"{ours} against {present:.4f} of version {champion.version} on the same rows; margin {spec.margin}"
    )
    return contender.value > present + spec.margin, reason


def _champion(client: Any, name: str) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, CHAMPION)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
