"""The interval of the AUC-ROC, against resampling row by row."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

from millstream.ml.metrics import auc_interval


def scores(rows: int, shift: float, *, decimals: int = 12) -> pd.DataFrame:
    """Columns label and score; `shift` is how far the two labels' scores lie apart."""
    draws = np.random.default_rng(7)
    label = (draws.random(rows) < 0.25).astype(float)
    score = 1 / (1 + np.exp(-(draws.normal(size=rows) + shift * label)))
    return pd.DataFrame({"label": label, "score": score.round(decimals)})


def resampled_by_row(scored: pd.DataFrame) -> tuple[float, float]:
    drawn = np.random.default_rng(1).integers(len(scored), size=(1000, len(scored)))
    positive, score = scored["label"].to_numpy()[drawn] == 1, scored["score"].to_numpy()[drawn]
    # The Mann-Whitney statistic: a second way to the AUC-ROC.
    hits = positive.sum(axis=1)
    ranks = np.where(positive, rankdata(score, axis=1), 0).sum(axis=1)
    areas = (ranks - hits * (hits + 1) / 2) / (hits * (len(scored) - hits))
    low, high = np.percentile(areas, (2.5, 97.5))
    return float(low), float(high)


@pytest.mark.parametrize("shift", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("decimals", [12, 1], ids=["each its own score", "many ties"])
def test_the_interval_is_that_of_resampled_rows(shift: float, decimals: int) -> None:
    scored = scores(600, shift, decimals=decimals)
    interval = auc_interval(scored)
    assert (interval.low, interval.high) == pytest.approx(resampled_by_row(scored), abs=0.01)
    assert interval.low < roc_auc_score(scored["label"], scored["score"]) < interval.high


def test_many_rows_narrow_the_interval_and_grouping_them_moves_nothing() -> None:
    scored = scores(200_000, 0.5)
    interval = auc_interval(scored)
    middle = (interval.low + interval.high) / 2
    assert middle == pytest.approx(roc_auc_score(scored["label"], scored["score"]), abs=0.0005)
    assert 0.004 < interval.high - interval.low < 0.008


def test_equal_scores_give_equal_intervals() -> None:
    scored = scores(600, 0.5)
    assert auc_interval(scored) == auc_interval(scored)
    assert auc_interval(scored) == auc_interval(scored.sample(frac=1, random_state=3))


def test_one_score_for_all_rows_is_the_naive_baseline() -> None:
    scored = scores(600, 0.5).assign(score=0.3)
    interval = auc_interval(scored)
    assert (interval.low, interval.high) == (0.5, 0.5)
