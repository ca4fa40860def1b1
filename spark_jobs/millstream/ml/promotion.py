"""Who is champion: registered under a lock, compared on the same rows, decided by a margin, explained."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from millstream.ml.spec import ModelSpec
from millstream.ml.tracking import CHALLENGER, CHAMPION

LOCK_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Contender:
    """A logged model, its AUC-ROC on the test rows, and tags that say where it comes from."""

    uri: str
    auc: float
    tags: dict[str, str]


@dataclass(frozen=True)
class Decision:
    version: int
    alias: str
    reason: str
    champion_version: int


def decide(
    mlflow: Any,
    spec: ModelSpec,
    contender: Contender,
    auc_of: Callable[[Any], float],
    state_dir: str,
) -> Decision:
    """Register the contender, and make it champion only if it beats the present one by the margin.

    MLflow's aliases are last-writer-wins, so reading the champion and moving the alias happen under one
    lock; `auc_of` scores a model on the rows that gave the contender's AUC.
    """
    client = mlflow.MlflowClient()
    Path(state_dir).mkdir(parents=True, exist_ok=True)
    with FileLock(Path(state_dir) / f"promote-{spec.name}.lock", timeout=LOCK_TIMEOUT_S):
        champion = _champion(client, spec.name)
        version = mlflow.register_model(contender.uri, spec.name, tags=contender.tags)
        number = int(version.version)
        if champion is None:
            won, reason = True, f"first version: test AUC-ROC {contender.auc:.4f}"
        else:
            present = _present_auc(mlflow, champion, auc_of)
            won = contender.auc > present + spec.margin
            reason = (
                f"test AUC-ROC {contender.auc:.4f} against {present:.4f} of version {champion.version} "
                f"on the same rows; margin {spec.margin}"
            )
        alias = CHAMPION if won else CHALLENGER
        client.set_registered_model_alias(spec.name, alias, str(number))
        client.update_model_version(
            spec.name, str(number), description=f"{alias.capitalize()}: {reason}. {_origin(contender)}"
        )
        client.set_model_version_tag(spec.name, str(number), "decision", f"{alias}: {reason}")
        client.update_registered_model(spec.name, description=spec.description)
    return Decision(number, alias, reason, number if won else int(champion.version))


def _champion(client: Any, name: str) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, CHAMPION)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _present_auc(mlflow: Any, champion: Any, auc_of: Callable[[Any], float]) -> float:
    with tempfile.TemporaryDirectory(prefix="mlflow-") as scratch:
        model = mlflow.spark.load_model(f"models:/{champion.name}/{champion.version}", dfs_tmpdir=scratch)
        return auc_of(model)


def _origin(contender: Contender) -> str:
    tables = ", ".join(
        f"{name.removeprefix('input.')} v{version}"
        for name, version in contender.tags.items()
        if name.startswith("input.")
    )
    return f"{contender.tags['candidate']}, trained on {tables}, code {contender.tags['code_version']}."
