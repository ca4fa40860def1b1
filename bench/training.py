"""Training and scoring of `arrival_delay` beside a plain MLlib script with the same candidates and trials.

    python -m bench.training [--factor 10] [--runs 1]

Both take the features of 2013's flights; a factor of ten is each row ten times, under ids of its own. Each
side is a process with a Spark of its own (local[2], 4 GiB). Both tune and refit every candidate, test the
best one, and write checked predictions of all rows; the platform besides logs each trial to an MLflow server,
plots, registers the model, reads it back, and publishes the predictions through gate and account.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

from bench import machine
from bench.ingest import make_sources
from bench.sides import run_side
from millstream.settings import Settings

TITLE = "Training"
FACTOR, RUNS = 1, 1
SIDES = {"Millstream": "training_platform", "by hand": "training_by_hand"}
SCORING = ("score", "quality_gate", "publish")


def run(factor: int = FACTOR, runs: int = RUNS) -> dict[str, Any]:
    """Figures for `markdown`."""
    home = Settings().home / "tmp"
    home.mkdir(parents=True, exist_ok=True)
    figures: dict[str, list[dict[str, Any]]] = {name: [] for name in SIDES}
    with tempfile.TemporaryDirectory(dir=home) as folder:
        drop, ingested, lake = (Path(folder) / name for name in ("drop", "ingested", "lake"))
        for new in (drop, ingested):
            new.mkdir()
        make_sources(drop, 1)
        run_side("ingest_by_hand", str(drop), str(ingested))
        rows = run_side("training_rows", str(ingested / "lake" / "features"), str(lake), str(factor))["rows"]
        for number in range(runs):
            for name, module in SIDES.items():
                out = Path(folder) / f"{module}-{number}"
                out.mkdir()
                figures[name].append(run_side(module, str(lake), str(out)))
                shutil.rmtree(out)
    predicted = {side["predictions"] for sides in figures.values() for side in sides}
    assert predicted == {rows}, predicted
    return {"machine": machine.describe(), "factor": factor, "rows": rows, "sides": figures}


def markdown(result: dict[str, Any]) -> str:
    """The result as tables for bench/results."""
    ours, plain = (result["sides"][name] for name in SIDES)
    parts = {
        "training": (
            [sum(value for step, value in side["steps"].items() if step not in SCORING) for side in ours],
            [side["steps"]["train"] for side in plain],
        ),
        "scoring": (
            [sum(side["steps"][step] for step in SCORING) for side in ours],
            [side["steps"]["score"] for side in plain],
        ),
        "both": (
            [sum(side["steps"].values()) for side in ours],
            [sum(side["steps"].values()) for side in plain],
        ),
    }
    lines = [
        f"{result['machine']}; Spark local[2], 4 GiB each; factor {result['factor']}: {result['rows']:,} "
        f"rows; {len(ours)} run(s), medians.",
        "",
        "| | Millstream, s | by hand, s | ratio |",
        "|---|---:|---:|---:|",
    ]
    for name, sides in parts.items():
        own, hand = map(statistics.median, sides)
        lines.append(f"| {name} | {own:.1f} | {hand:.1f} | {own / hand:.2f} |")
    lines += ["", "| step of Millstream | median, s |", "|---|---:|"]
    for step in ours[0]["steps"]:
        lines.append(f"| {step} | {statistics.median(side['steps'][step] for side in ours):.1f} |")
    lines += ["", "| | test AUC-ROC | JVM's peak, MB | driver's, MB |", "|---|---:|---:|---:|"]
    for name, figures in result["sides"].items():
        for side in figures:
            peaks = " | ".join(f"{side[kind] / 1e6:.0f}" for kind in ("jvm", "own"))
            lines.append(f"| {name} | {side['auc_roc']:.4f} | {peaks} |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--factor", type=int, default=FACTOR, help="each row so many times; default 1")
    parser.add_argument("--runs", type=int, default=RUNS)
    asked = parser.parse_args()
    print(markdown(run(asked.factor, asked.runs)))
