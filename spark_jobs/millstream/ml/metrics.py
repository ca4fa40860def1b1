"""Metrics of binary scores, computed once from collected (label, score) pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn import metrics

THRESHOLDS = tuple(round(step / 20, 2) for step in range(1, 20))
CALIBRATION_BINS = 10


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
    """What each threshold would do. Columns: threshold, precision, recall, f1, flagged (share of rows)."""
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
