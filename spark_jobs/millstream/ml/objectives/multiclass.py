"""One of several classes: a probability for each, and the likeliest is the answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure
from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from sklearn import metrics

from millstream.ml import plots
from millstream.ml.dataset import LABEL
from millstream.ml.metrics import Interval, normal_interval
from millstream.ml.scoring import PREDICTION, PROBABILITY
from millstream.ml.spec import ModelSpec

LIKELIEST = "_likeliest"


def scored(rows: DataFrame, model: Any, spec: ModelSpec) -> pd.DataFrame:
    shares = vector_to_array(F.col(PROBABILITY))
    columns = [shares[place].alias(name) for place, name in enumerate(_names(spec))]
    collected: pd.DataFrame = model.transform(rows).select(LABEL, *columns).toPandas()
    return collected


def with_answer(rows: DataFrame, model: Any) -> DataFrame:
    answered: DataFrame = model.transform(rows)
    return answered.withColumn(LIKELIEST, F.array_max(vector_to_array(F.col(PROBABILITY))))


def answer(model: Any, spec: ModelSpec) -> list[Column]:
    return [F.col(LIKELIEST).alias("probability"), F.col(PREDICTION).alias("predicted")]


def settle(model: Any, scored: pd.DataFrame) -> float | None:
    return None


def summary(scored: pd.DataFrame, spec: ModelSpec) -> dict[str, float]:
    label, shares = _labels(scored), _shares(scored, spec)
    guessed = shares.argmax(axis=1)
    # Of single precision they add up to nearly one.
    whole = shares / shares.sum(axis=1, keepdims=True)
    return {
        "auc_roc": float(np.mean(_aucs(label, shares))),
        "accuracy": float(metrics.accuracy_score(label, guessed)),
        "f1_macro": float(metrics.f1_score(label, guessed, average="macro")),
        "log_loss": float(metrics.log_loss(label, whole, labels=range(len(spec.classes)))),
        # What naming the commonest class for every row would have right.
        "base_accuracy": float(np.bincount(label).max() / len(label)),
    }


def interval(scored: pd.DataFrame, spec: ModelSpec) -> Interval:
    """Of the mean AUC-ROC, by the normal approximation: DeLong et al., Biometrics 44:837 (1988). A row's
    share in it is the mean of its shares in those of the classes. Rows count as independent."""
    label, shares = _labels(scored), _shares(scored, spec)
    influence = np.mean(
        [_influence(label == place, shares[:, place]) for place in range(len(spec.classes))], axis=0
    )
    return normal_interval(float(np.mean(_aucs(label, shares))), influence)


def figures(scored: pd.DataFrame, spec: ModelSpec) -> dict[str, Figure]:
    label = scored["label"]
    curves = {
        name: (label == place, scored[column])
        for place, (name, column) in enumerate(zip(spec.classes, _names(spec), strict=True))
    }
    return {"roc": plots.roc(curves), "confusion": plots.confusion(_confusion(scored, spec), spec.classes)}


def tables(scored: pd.DataFrame, spec: ModelSpec) -> dict[str, pd.DataFrame]:
    label, shares = _labels(scored), _shares(scored, spec)
    precision, recall, f1, rows = metrics.precision_recall_fscore_support(
        label, shares.argmax(axis=1), labels=range(len(spec.classes)), zero_division=0
    )
    by_class = {
        "class": spec.classes,
        "rows": rows,
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "auc_roc": _aucs(label, shares),
    }
    confusion = pd.DataFrame(_confusion(scored, spec), columns=list(spec.classes))
    confusion.insert(0, "class", list(spec.classes))
    return {"classes": pd.DataFrame(by_class), "confusion": confusion}


def _names(spec: ModelSpec) -> list[str]:
    return [f"p{place}" for place in range(len(spec.classes))]


def _labels(scored: pd.DataFrame) -> npt.NDArray[np.int64]:
    return scored["label"].to_numpy().astype(int)


def _shares(scored: pd.DataFrame, spec: ModelSpec) -> npt.NDArray[np.float64]:
    return scored[_names(spec)].to_numpy()


def _aucs(label: npt.NDArray[np.int64], shares: npt.NDArray[np.float64]) -> list[float]:
    return [
        float(metrics.roc_auc_score(label == place, shares[:, place])) for place in range(shares.shape[1])
    ]


def _confusion(scored: pd.DataFrame, spec: ModelSpec) -> npt.NDArray[np.int64]:
    """Rows: what is right; columns: what was answered."""
    answered = _shares(scored, spec).argmax(axis=1)
    found: npt.NDArray[np.int64] = metrics.confusion_matrix(
        _labels(scored), answered, labels=range(len(spec.classes))
    )
    return found


def _influence(positive: npt.NDArray[np.bool_], score: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """What each row contributes to the AUC-ROC: the share of the other side's rows that it stands on the
    right side of (ties half), less the mean, by the share of its own side."""
    above, below = np.sort(score[positive]), np.sort(score[~positive])

    def share_below(values: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> Any:
        left, right = np.searchsorted(other, values, "left"), np.searchsorted(other, values, "right")
        return (left + right) / 2 / len(other)

    own = np.empty(len(score))
    own[positive] = share_below(score[positive], below)
    own[~positive] = 1 - share_below(score[~positive], above)
    area = own[positive].mean()
    return np.asarray((own - area) / np.where(positive, positive.mean(), 1 - positive.mean()))
