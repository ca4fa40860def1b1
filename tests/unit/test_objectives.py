"""Declarations of numbers and classes, their metrics and intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from millstream.errors import ConfigurationError
from millstream.ml.objectives import multiclass, regression
from millstream.ml.spec import Candidate, GroupSplit, ModelSpec, TabularFeatures

CLASSES = ("on time", "late", "cancelled")
ROWS = 800
DRAWS = np.random.default_rng(1)


def declared(**more: Any) -> ModelSpec:
    return ModelSpec(
        **{
            "name": "sample",
            "input_table": "silver.sample",
            "label": "outcome",
            "key": ("id",),
            "features": TabularFeatures(numbers=("x",)),
            "split": GroupSplit("id"),
            **more,
        }
    )


def test_each_objective_has_a_candidate_of_its_own_where_none_is_declared() -> None:
    assert [one.algorithm for one in declared().candidates] == ["logistic_regression"]
    numbers = declared(objective="regression")
    assert [one.algorithm for one in numbers.candidates] == ["linear_regression"]
    assert (numbers.metric.name, numbers.metric.naive) == ("r2", 0.0)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"objective": "multiclass"}, "needs at least three different classes"),
        ({"objective": "multiclass", "classes": ("a", "b", "b")}, "needs at least three different classes"),
        ({"classes": CLASSES}, "binary has .*on time"),
        (
            {
                "objective": "multiclass",
                "classes": CLASSES,
                "candidates": (Candidate("trees", "gradient_boosted_trees", ({},)),),
            },
            "gradient_boosted_trees cannot learn multiclass; expected one of decision_tree",
        ),
        (
            {"objective": "regression", "candidates": (Candidate("x", "logistic_regression", ({},)),)},
            "logistic_regression cannot learn regression",
        ),
    ],
)
def test_what_cannot_be_learnt_is_refused_when_it_is_declared(wrong: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigurationError, match=f"model sample: .*{expected}"):
        declared(**wrong)


def resampled(scored: pd.DataFrame, metric: Any) -> tuple[float, float]:
    """The 95 % interval by a plain bootstrap."""
    draws = [metric(scored.iloc[DRAWS.integers(0, len(scored), len(scored))]) for _ in range(200)]
    low, high = np.percentile(draws, (2.5, 97.5))
    return float(low), float(high)


def test_the_interval_of_classes_is_that_of_a_bootstrap() -> None:
    spec = declared(objective="multiclass", classes=CLASSES)
    label = DRAWS.choice(3, ROWS, p=(0.7, 0.25, 0.05))
    shares = DRAWS.dirichlet((4, 2, 1), ROWS)
    # Some of the truth in the scores, and ties.
    shares = np.round((shares + 0.3 * np.eye(3)[label]) / 1.3, 2)
    shares /= shares.sum(axis=1, keepdims=True)
    scored = pd.DataFrame({"label": label, **{f"p{place}": shares[:, place] for place in range(3)}})
    summary = multiclass.summary(scored, spec)
    expected = metrics.roc_auc_score(label, shares, multi_class="ovr", average="macro")
    assert summary["auc_roc"] == pytest.approx(expected)
    assert summary["accuracy"] == pytest.approx((shares.argmax(axis=1) == label).mean())

    interval = multiclass.interval(scored, spec)
    low, high = resampled(
        scored,
        lambda rows: metrics.roc_auc_score(
            rows["label"], rows[["p0", "p1", "p2"]], multi_class="ovr", average="macro"
        ),
    )
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.2 * (high - low))
    guessing = scored.assign(p0=0.7, p1=0.25, p2=0.05)
    assert multiclass.interval(guessing, spec).low == pytest.approx(0.5)

    tables = multiclass.tables(scored, spec)
    assert tables["classes"]["rows"].tolist() == np.bincount(label).tolist()
    assert tables["confusion"][list(CLASSES)].to_numpy().sum() == ROWS
    assert set(multiclass.figures(scored, spec)) == {"roc", "confusion"}


def test_the_interval_of_numbers_is_that_of_a_bootstrap() -> None:
    spec = declared(objective="regression")
    label = DRAWS.gamma(2, 20, ROWS)
    scored = pd.DataFrame({"label": label, "score": label + DRAWS.normal(0, 25, ROWS)})
    summary = regression.summary(scored, spec)
    assert summary["r2"] == pytest.approx(metrics.r2_score(label, scored["score"]))
    assert summary["rmse"] == pytest.approx(25, rel=0.1)

    interval = regression.interval(scored, spec)
    low, high = resampled(scored, lambda rows: metrics.r2_score(rows["label"], rows["score"]))
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.2 * (high - low))
    mean = scored.assign(score=label.mean())
    assert regression.interval(mean, spec).low == pytest.approx(0, abs=1e-9)
    assert regression.tables(scored, spec)["predicted"]["rows"].sum() == ROWS
    assert set(regression.figures(scored, spec)) == {"predicted", "errors"}
