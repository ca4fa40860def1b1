"""Flights at a factor, from their source to features, beside a plain Spark script with the same tables.

    python -m bench.ingest [--factor 10] [--runs 1]

A factor of ten is ten years, 120 zipped files: the real flights of 2013 once more in each. (Leap years are
left out: 29 February would be a day without flights.) Both sides copy the source, number its rows, write
bronze, silver and gold tables by month, and judge silver and gold by the same rules; the platform besides
stages what it judges, keeps broken rows and accounts. The statistics of routes are a stage of their own: the
platform makes them by MapReduce, as its DAG does, the script by Spark. The features are one function, the
library's. Each side is a process with a Spark of its own (local[2], 4 GiB), which first makes the tables of
planes, airports, airlines and weather, untimed: so it is warm, as the stack's server is. Both have to end
with the same rows.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import zipfile
from calendar import isleap
from itertools import count, islice
from pathlib import Path
from typing import Any

from bench import machine
from bench.decode import flights_lines
from bench.sides import run_side
from millstream.settings import Settings
from millstream_demo.reference import reference_file

TITLE = "Ingest"
FACTOR, RUNS = 1, 1
REFERENCES = ("weather", "planes", "airports", "airlines")
FIRST_YEAR = 2013
SIDES = {"Millstream": "ingest_platform", "by hand": "ingest_by_hand"}
# What of one side does the work of what of the other.
STAGES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "source copied": (("land",), ("copy",)),
    "bronze": (("load_bronze",), ("bronze",)),
    "silver, judged": (("transform", "quality_gate", "publish"), ("silver", "silver checks")),
    "features, judged": (
        ("features build", "features quality_gate", "features publish"),
        ("features", "features checks"),
    ),
    # Another engine's work on one side: Hadoop's local runner with a Python mapper, against Spark itself.
    "routes, judged (MapReduce)": (
        ("routes export", "routes mapreduce", "routes build", "routes quality_gate", "routes publish"),
        ("routes", "routes checks"),
    ),
}


def make_sources(drop: Path, factor: int) -> None:
    """`flights_YYYY-MM.csv.zip` of `factor` years, and a CSV file of each other table."""
    for name in REFERENCES:
        shutil.copyfile(reference_file(f"{name}.csv"), drop / f"{name}.csv")
    header, lines = flights_lines()
    months: dict[int, list[tuple[bytes, bytes, bytes]]] = {}
    for line in lines:
        _, month, _ = line.split(b",", 2)
        # Its year stands at the beginning, and in `time_hour`, which is UTC and may be of the next one.
        before, hour = line[4:].rsplit(b",", 1)
        months.setdefault(int(month), []).append((before, hour[:4], hour[4:]))
    for year in years(factor):
        later = {b"%d" % (FIRST_YEAR + more): b"%d" % (year + more) for more in range(2)}
        for month, parts in sorted(months.items()):
            name = f"flights_{year}-{month:02d}.csv"
            rows = (b"%d%b,%b%b" % (year, before, later[of], rest) for before, of, rest in parts)
            with zipfile.ZipFile(drop / f"{name}.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                archive.writestr(name, header + b"".join(rows))


def years(factor: int) -> list[int]:
    return list(islice((year for year in count(FIRST_YEAR) if not isleap(year)), factor))


def run(factor: int = FACTOR, runs: int = RUNS) -> dict[str, Any]:
    """Figures for `markdown`."""
    home = Settings().home / "tmp"
    home.mkdir(parents=True, exist_ok=True)
    figures: dict[str, list[dict[str, Any]]] = {name: [] for name in SIDES}
    with tempfile.TemporaryDirectory(dir=home) as folder:
        drop = Path(folder) / "drop"
        drop.mkdir()
        make_sources(drop, factor)
        for number in range(runs):
            for name, module in SIDES.items():
                out = Path(folder) / f"{module}-{number}"
                out.mkdir()
                figures[name].append(run_side(module, str(drop), str(out)))
                shutil.rmtree(out)
    made = {json.dumps(side["made"], sort_keys=True) for sides in figures.values() for side in sides}
    assert len(made) == 1, f"the sides have made other rows: {made}"
    return {"machine": machine.describe(), "factor": factor, "sides": figures}


def _seconds(side: dict[str, Any], steps: tuple[str, ...]) -> float:
    return sum(side["steps"][step] for step in steps)


def markdown(result: dict[str, Any]) -> str:
    """The result as tables for bench/results."""
    ours, plain = (result["sides"][name] for name in SIDES)
    parts: dict[str, tuple[tuple[str, ...], ...]] = dict(STAGES)
    rows = ours[0]["made"]["rows"]
    lines = [
        f"{result['machine']}; Spark local[2], 4 GiB each; factor {result['factor']}: {rows:,} flights; "
        f"{len(ours)} run(s), medians.",
        "",
        "| | Millstream, s | by hand, s | ratio |",
        "|---|---:|---:|---:|",
    ]
    sums = {"ingest": 3, "ingest and features": 4, "all": 5}
    for name, stages in sums.items():
        steps = [STAGES[stage] for stage in list(STAGES)[:stages]]
        parts[name] = tuple(sum((stage[side] for stage in steps), ()) for side in range(2))
    for name, (own_steps, plain_steps) in parts.items():
        own = statistics.median(_seconds(side, own_steps) for side in ours)
        hand = statistics.median(_seconds(side, plain_steps) for side in plain)
        lines.append(f"| {name} | {own:.1f} | {hand:.1f} | {own / hand:.2f} |")
    lines += ["", "| step | median, s | rows/s |", "|---|---:|---:|"]
    for label, sides in result["sides"].items():
        for step in sides[0]["steps"]:
            seconds = statistics.median(side["steps"][step] for side in sides)
            lines.append(f"| {label}: {step} | {seconds:.1f} | {rows / max(seconds, 0.01):,.0f} |")
    lines += [
        "",
        "| | other tables, s | process, s | JVM's peak, MB | a worker's, MB | driver's, MB | files | GB |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for label, sides in result["sides"].items():
        for side in sides:
            seconds = " | ".join(f"{side[kind]:.1f}" for kind in ("references", "process"))
            peaks = " | ".join(f"{side[kind] / 1e6:.0f}" for kind in ("jvm", "worker", "own"))
            lines.append(f"| {label} | {seconds} | {peaks} | {side['files']:,} | {side['bytes'] / 1e9:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--factor", type=int, default=FACTOR, help="years of flights; default 1")
    parser.add_argument("--runs", type=int, default=RUNS)
    asked = parser.parse_args()
    print(markdown(run(asked.factor, asked.runs)))
