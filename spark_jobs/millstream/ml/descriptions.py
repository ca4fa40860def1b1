"""What the model registry says of a version, below the decision on it: Markdown, as MLflow shows it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from millstream.ml.spec import ModelSpec, Params

# Of the test part, by which a version is judged: what people ask for first.
SHOWN = {
    "auc_roc": "AUC-ROC",
    "auc_pr": "AUC-PR",
    "log_loss": "log loss",
    "brier": "Brier score",
    "calibration_error": "calibration error",
    "accuracy": "accuracy",
    "f1_macro": "F1, mean over classes",
    "r2": "R²",
    "rmse": "RMSE",
    "mae": "MAE",
    "median_error": "median error",
}
INPUT = "input."


class Rival(Protocol):
    """A candidate of the training, as it was on the validation part."""

    @property
    def candidate(self) -> str: ...
    @property
    def params(self) -> Params: ...
    @property
    def validation(self) -> dict[str, float]: ...
    @property
    def seconds(self) -> float: ...


class Elsewhere(NamedTuple):
    """Addresses in Airflow's web UI: of the training's run, and of each table's verdict."""

    training: str | None = None
    verdicts: Mapping[str, str] = {}


def described(
    spec: ModelSpec,
    rivals: Iterable[Rival],
    test: Mapping[str, float],
    tags: Mapping[str, str],
    page: str,
    elsewhere: Elsewhere,
) -> str:
    """Figures of the test part, candidates, the rule of promotion, tables and code; `page` is the run's."""
    figures = [(name, f"{test[key]:.4f}") for key, name in SHOWN.items() if key in test]
    metric = spec.metric
    by_score = sorted(rivals, key=lambda rival: rival.validation[metric.name], reverse=True)
    candidates = [
        (
            f"**{rival.candidate}**" if rival.candidate == tags["candidate"] else rival.candidate,
            f"{rival.validation[metric.name]:.4f}",
            ", ".join(f"{name} {value}" for name, value in rival.params.items()),
            f"{rival.seconds:g}",
        )
        for rival in by_score
    ]
    versions = {name.removeprefix(INPUT): one for name, one in tags.items() if name.startswith(INPUT)}
    tables = [
        (name, version, f"[verdict]({elsewhere.verdicts[name]})" if name in elsewhere.verdicts else "")
        for name, version in versions.items()
    ]
    training = f" [Airflow's run of the training]({elsewhere.training})." if elsewhere.training else ""
    threshold = f" Yes from a probability of {tags['threshold']} on." if "threshold" in tags else ""
    return "\n\n".join(
        [
            _table(("on the test part", "value"), figures),
            _table(("candidate", f"validation {metric.in_words}", "settings", "seconds"), candidates),
            f"Another version becomes champion if its {metric.in_words} on the same rows is higher by "
            f"{spec.margin}.{threshold}",
            _table(("trained on", "version", "quality"), tables),
            f"[Run with plots and tables]({page}).{training} Code {tags['code_version']}.",
        ]
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
