"""Plots of a model's test scores, as Matplotlib figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure
from sklearn import metrics

from millstream.ml.metrics import calibration

TOP = 25


def _figure(title: str, x: str, y: str) -> tuple[Figure, object]:
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    return figure, axes


def roc(curves: dict[str, tuple[pd.Series[Any], pd.Series[Any]]]) -> Figure:
    """`curves`: name -> whether each row is a hit, and its score."""
    figure, axes = _figure("ROC, test part", "false positive rate", "true positive rate")
    for name, (hit, score) in curves.items():
        false_rate, true_rate, _ = metrics.roc_curve(hit, score)
        area = f"AUC {metrics.auc(false_rate, true_rate):.3f}"
        axes.plot(false_rate, true_rate, label=f"{name}, {area}" if name else area)  # type: ignore[attr-defined]
    axes.plot([0, 1], [0, 1], linestyle="--", color="grey", label="chance")  # type: ignore[attr-defined]
    axes.legend()  # type: ignore[attr-defined]
    return figure


def precision_recall(scored: pd.DataFrame) -> Figure:
    figure, axes = _figure("Precision and recall, test part", "recall", "precision")
    precision, recall, _ = metrics.precision_recall_curve(scored["label"], scored["score"])
    axes.plot(recall, precision)  # type: ignore[attr-defined]
    axes.axhline(scored["label"].mean(), linestyle="--", color="grey", label="base rate")  # type: ignore[attr-defined]
    axes.legend()  # type: ignore[attr-defined]
    return figure


def calibration_curve(scored: pd.DataFrame) -> Figure:
    figure, axes = _figure("Calibration, test part", "predicted share", "observed share")
    table = calibration(scored)
    axes.plot(table["predicted"], table["observed"], marker="o")  # type: ignore[attr-defined]
    axes.plot([0, 1], [0, 1], linestyle="--", color="grey", label="perfect")  # type: ignore[attr-defined]
    axes.legend()  # type: ignore[attr-defined]
    return figure


def confusion(counts: npt.NDArray[np.int64], classes: Sequence[str]) -> Figure:
    """`counts`: a row for each class that is right, a column for each that was answered."""
    figure, axes = _figure("Answers, test part", "answered", "right")
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.grid(visible=False)  # type: ignore[attr-defined]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)  # type: ignore[attr-defined]
    axes.set_xticks(range(len(classes)), classes, rotation=30)  # type: ignore[attr-defined]
    axes.set_yticks(range(len(classes)), classes)  # type: ignore[attr-defined]
    for (row, column), share in np.ndenumerate(shares):
        color = "white" if share > 0.5 else "black"
        text = f"{share:.0%}\n{counts[row, column]:,}"
        axes.text(column, row, text, ha="center", va="center", color=color)  # type: ignore[attr-defined]
    return figure


def predicted(groups: pd.DataFrame) -> Figure:
    """`groups` has the columns predicted and observed, means of rows of like prediction."""
    figure, axes = _figure("Predicted and observed, test part", "predicted", "observed")
    axes.plot(groups["predicted"], groups["observed"], marker="o")  # type: ignore[attr-defined]
    ends = [groups["predicted"].min(), groups["predicted"].max()]
    axes.plot(ends, ends, linestyle="--", color="grey", label="perfect")  # type: ignore[attr-defined]
    axes.legend()  # type: ignore[attr-defined]
    return figure


def errors(errors: pd.Series[Any]) -> Figure:
    """Of all but the outermost hundredth, which would leave nothing to see of the others."""
    figure, axes = _figure("Errors, test part", "predicted less observed", "rows")
    low, high = errors.quantile(0.005), errors.quantile(0.995)
    axes.hist(errors[(errors >= low) & (errors <= high)], bins=50)  # type: ignore[attr-defined]
    return figure


def importance(weights: pd.DataFrame) -> Figure:
    """`weights` has the columns feature and weight, largest magnitude first."""
    figure, axes = _figure("What the model looks at most", "weight", "")
    top = weights.head(TOP).iloc[::-1]
    axes.barh(top["feature"], top["weight"])  # type: ignore[attr-defined]
    axes.tick_params(axis="y", labelsize=7)  # type: ignore[attr-defined]
    return figure
