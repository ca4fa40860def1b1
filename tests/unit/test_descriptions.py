"""What the model registry shows of a version, below the decision."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from millstream.ml.descriptions import Elsewhere, described
from millstream.ml.spec import Params
from millstream.models import model_spec

SPEC = dataclasses.replace(model_spec("arrival_delay"), margin=0.004)
TAGS = {"candidate": "trees", "threshold": "0.35", "code_version": "abc", "input.gold.features": "7"}


@dataclass(frozen=True)
class Fitted:
    candidate: str
    params: Params
    validation: dict[str, float]
    seconds: float = 12.5


def test_a_version_is_shown_beside_its_rivals_the_best_one_first() -> None:
    rivals = [
        Fitted("linear|l2", {"regParam": 0.01}, {"auc_roc": 0.7}),
        Fitted("trees", {"maxDepth": 5, "maxIter": 40}, {"auc_roc": 0.75}),
    ]
    page = "#/experiments/1/runs/r"
    elsewhere = Elsewhere("http://air/run", {"gold.features": "http://air/page.html"})
    text = described(SPEC, rivals, {"auc_roc": 0.74123, "brier": 0.2}, TAGS, page, elsewhere)
    figures, candidates, rule, tables, last = text.split("\n\n")
    assert figures.splitlines()[2:] == ["| AUC-ROC | 0.7412 |", "| Brier score | 0.2000 |"]
    assert candidates.splitlines() == [
        "| candidate | validation AUC-ROC | settings | seconds |",
        "| --- | --- | --- | --- |",
        "| **trees** | 0.7500 | maxDepth 5, maxIter 40 | 12.5 |",
        "| linear\\|l2 | 0.7000 | regParam 0.01 | 12.5 |",
    ]
    assert "higher by 0.004" in rule
    assert "from a probability of 0.35 on" in rule
    assert tables.splitlines()[2:] == ["| gold.features | 7 | [verdict](http://air/page.html) |"]
    assert last == (
        f"[Run with plots and tables]({page}). [Airflow's run of the training](http://air/run). Code abc."
    )


def test_what_is_not_known_is_no_link() -> None:
    rival = Fitted("trees", {}, {"auc_roc": 0.75})
    text = described(SPEC, [rival], {}, TAGS, "#/experiments/1/runs/r", Elsewhere())
    assert "| gold.features | 7 |  |" in text
    assert text.endswith("[Run with plots and tables](#/experiments/1/runs/r). Code abc.")
