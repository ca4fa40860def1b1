"""Plots of a model's test scores, as Matplotlib figures."""

from __future__ import annotations

import matplotlib as mpl

mpl.use("Agg")

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


def roc(scored: pd.DataFrame) -> Figure:
    figure, axes = _figure("ROC, test part", "false positive rate", "true positive rate")
    false_rate, true_rate, _ = metrics.roc_curve(scored["label"], scored["score"])
    area = metrics.auc(false_rate, true_rate)
    axes.plot(false_rate, true_rate, label=f"AUC {area:.3f}")  # type: ignore[attr-defined]
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


def importance(weights: pd.DataFrame) -> Figure:
    """`weights` has the columns feature and weight, largest magnitude first."""
    figure, axes = _figure("What the model looks at most", "weight", "")
    top = weights.head(TOP).iloc[::-1]
    axes.barh(top["feature"], top["weight"])  # type: ignore[attr-defined]
    axes.tick_params(axis="y", labelsize=7)  # type: ignore[attr-defined]
    return figure
