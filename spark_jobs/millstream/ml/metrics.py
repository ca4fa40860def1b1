"""Metrics of binary scores, computed once from collected (label, score) pairs; and intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn import metrics

THRESHOLDS = tuple(round(step / 20, 2) for step in range(1, 20))
CALIBRATION_BINS = 10
RESAMPLES = 1_000
SCORE_GROUPS = 1_000
SEED = 20130101


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval."""

    low: float
    high: float


def normal_interval(value: float, influence: npt.NDArray[np.float64]) -> Interval:
    """Around `value`, whose error is the mean of the rows' `influence`, which are independent."""
    error = 1.96 * float(np.std(influence)) / float(np.sqrt(len(influence)))
    return Interval(value - error, value + error)


def summary(scored: pd.DataFrame) -> dict[str, float]:
    """AUC-ROC, AUC-PR, log loss, Brier score and calibration error of the columns `label` and `score`."""
    label, score = scored["label"].to_numpy(), scored["score"].to_numpy()
    table = calibration(scored)
    weight = table["rows"] / table["rows"].sum()
    return {
        "auc_roc": float(metrics.roc_auc_score(label, score)),
        "auc_pr": float(metrics.average_precision_score(label, score)),
        "log_loss": float(metrics.log_loss(label, score)),
        "brier": float(metrics.brier_score_loss(label, score)),
        # Expected calibration error: Naeini et al., AAAI 2015.
        "calibration_error": float((weight * (table["observed"] - table["predicted"]).abs()).sum()),
        "base_rate": float(label.mean()),
    }


def calibration(scored: pd.DataFrame) -> pd.DataFrame:
    """Ten groups of equal size by score. Columns: predicted, observed (shares 0-1), rows."""
    groups = pd.qcut(scored["score"].rank(method="first"), CALIBRATION_BINS, labels=False)
    table = scored.groupby(groups).agg(
        predicted=("score", "mean"), observed=("label", "mean"), rows=("label", "size")
    )
    return table.reset_index(drop=True)


def thresholds(scored: pd.DataFrame) -> pd.DataFrame:
    """The effect of each threshold. Columns: threshold, precision, recall, f1, flagged (share of rows)."""
    label, score = scored["label"].to_numpy().astype(bool), scored["score"].to_numpy()
    rows: list[dict[str, Any]] = []
    for threshold in THRESHOLDS:
        flagged = score >= threshold
        hits = int((flagged & label).sum())
        precision = hits / flagged.sum() if flagged.any() else float("nan")
        recall = hits / label.sum()
        f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
        rows.append(
            {
                "threshold": threshold,
                "precision": precision,
                "recall": recall,
                "f1": f1,
                "flagged": float(flagged.mean()),
            }
        )
    return pd.DataFrame(rows)


def best_threshold(scored: pd.DataFrame) -> float:
    """The threshold with the highest F1."""
    table = thresholds(scored)
    return THRESHOLDS[int(np.argmax(table["f1"].to_numpy()))]


def auc_interval(scored: pd.DataFrame) -> Interval:
    """The 95 % bootstrap percentile interval of the AUC-ROC of the columns `label` (0 and 1) and `score`.

    Rows of each label are resampled with replacement: Efron and Tibshirani, An Introduction to the
    Bootstrap (1993), chapter 13; stratified as in Robin et al., pROC, BMC Bioinformatics 12:77 (2011). Rows
    count as independent. The seed is fixed: equal scores give equal intervals.

    The AUC-ROC depends only on how many rows of each label have each score, so these counts are drawn. Scores
    are cut into at most `SCORE_GROUPS` groups of equal size, whose rows count as ties, so that millions of
    rows cost no more than thousands; pairs of one group are too few (1 in 1,000) to move the AUC-ROC.
    """
    groups = np.unique(np.quantile(scored["score"], np.linspace(0, 1, SCORE_GROUPS + 1), method="lower"))
    place = np.searchsorted(groups, scored["score"], side="right")
    positive = scored["label"].to_numpy() == 1
    counts = [np.bincount(place[label], minlength=len(groups) + 1) for label in (positive, ~positive)]
    draws = np.random.default_rng(SEED)
    hits, misses = (draws.multinomial(count.sum(), count / count.sum(), RESAMPLES) for count in counts)
    below = misses.cumsum(axis=1) - misses / 2
    areas = (hits * below).sum(axis=1) / (counts[0].sum() * counts[1].sum())
    low, high = np.percentile(areas, (2.5, 97.5))
    return Interval(float(low), float(high))
