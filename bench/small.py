"""Small loads through Airflow: 16 rows on a warm stack, and a thousand files of 100 kB from extract to land.

    python -m bench.small [--runs 5]

A stack of its own. `ingest_airlines` runs once cold, then `runs` times more: the DAG run's seconds, and those
of each of its seven tasks. Then `ingest_flights` fetches a thousand months of about 100 kB each, whose
contract begins early enough; seconds from the start of its first `extract` task to the end of `land`.
"""

from __future__ import annotations

import argparse
import io
import shutil
import statistics
import time
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench import machine
from bench.decode import flights_lines
from bench.own_stack import SCRATCH, own_stack, publish_sources, say
from millstream.contracts.periods import periods
from millstream.settings import CHECKOUT
from millstream_stack.clients.airflow_api import AirflowApi, Run, Task

TITLE = "Small loads"
RUNS, FILES, FILE_BYTES = 5, 1000, 100_000
POLL_S, TIMEOUT_S = 0.5, 1800.0
FIRST, LAST = "1930-01", "2013-12"


def make_project() -> Path:
    """A checkout whose flights began in `FIRST`; all but its DAG files is this one's."""
    project = SCRATCH / "project"
    project.mkdir()
    for path in CHECKOUT.iterdir():
        if path.name != "dags":
            (project / path.name).symlink_to(path)
    shutil.copytree(CHECKOUT / "dags", project / "dags", ignore=shutil.ignore_patterns("__pycache__"))
    contract = project / "dags" / "datasets" / "flights.yaml"
    text = contract.read_text(encoding="utf-8")
    assert "start: 2013-01}" in text
    contract.write_text(text.replace("start: 2013-01}", f"start: {FIRST}}}"), encoding="utf-8")
    return project


def make_files(drop: Path) -> list[str]:
    """The newest `FILES` months, each a zip file of about `FILE_BYTES`; returns them."""
    header, lines = flights_lines()
    rows = len(lines)
    while True:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("flights.csv", header + b"".join(lines[:rows]))
        size = len(stream.getvalue())
        if size <= FILE_BYTES:
            break
        rows = rows * FILE_BYTES // size - 1
    chosen = periods(FIRST, LAST)[-FILES:]
    for month in chosen:
        (drop / f"flights_{month}.csv.zip").write_bytes(stream.getvalue())
    return chosen


def _tasks(
    api: AirflowApi, dag: dict[str, Any], conf: dict[str, Any], ended: Callable[[Run, list[Task]], bool]
) -> tuple[Run, list[Task]]:
    """The run, triggered as a person would, and its tasks, once it has `ended`."""
    if dag["is_paused"]:
        api.unpause(dag["dag_id"])
    moment = datetime.now(UTC) - timedelta(seconds=1)
    key = api.trigger(dag["dag_id"], conf).key
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        run = next(run for run in api.runs_since(moment) if run.key == key)
        tasks = [task for task in api.tasks_since(moment) if (task.dag_id, task.run_id) == key]
        if run.state == "failed":
            raise SystemExit(f"{dag['dag_id']} failed")
        if ended(run, tasks):
            return run, tasks
        time.sleep(POLL_S)
    raise SystemExit(f"{dag['dag_id']} did not come so far in {TIMEOUT_S:.0f} s")


def _between(started: datetime | None, ended: datetime | None) -> float:
    assert started is not None
    assert ended is not None
    return round((ended - started).total_seconds(), 2)


def _rows(api: AirflowApi, dag: dict[str, Any]) -> dict[str, float]:
    """Seconds of one run, of each task, and between the tasks."""
    run, tasks = _tasks(api, dag, {}, lambda run, _: run.state == "success")
    each = {task.task_id: _between(task.started, task.ended) for task in tasks}
    whole = _between(run.started, run.ended)
    return {"run": whole, **each, "between": round(whole - sum(each.values()), 2)}


def _files(api: AirflowApi, dag: dict[str, Any], chosen: list[str]) -> dict[str, float]:
    def landed(_: Run, tasks: list[Task]) -> bool:
        return any(task.task_id == "land" and task.state == "success" for task in tasks)

    _, tasks = _tasks(api, dag, {"start": chosen[0], "end": chosen[-1]}, landed)
    extracts = [task for task in tasks if task.task_id == "extract"]
    land = next(task for task in tasks if task.task_id == "land")
    plan = next(task for task in tasks if task.task_id == "plan")
    first = min(task.started for task in extracts if task.started is not None)
    return {
        "plan": _between(plan.started, plan.ended),
        "extract tasks": len(extracts),
        "extract to land": _between(first, land.ended),
    }


def run(runs: int = RUNS) -> dict[str, Any]:
    """Figures for `markdown`."""
    publish_sources()
    project = make_project()
    chosen = make_files(SCRATCH / "demo" / "drop" / "flights")
    with own_stack(0, project) as (api, dags, _):
        rows = []
        for number in range(runs + 1):
            rows.append(_rows(api, dags["ingest_airlines"]))
            say(f"16 rows, run {number}: {rows[-1]}")
        files = _files(api, dags["ingest_flights"], chosen)
        say(f"{FILES} files: {files}")
    return {"machine": machine.describe(), "rows": rows, "files": files}


def markdown(result: dict[str, Any]) -> str:
    """The result as tables for bench/results."""
    cold, *warm = result["rows"]
    lines = [
        f"{result['machine']}; {len(warm)} warm runs.",
        "",
        "| 16 rows | cold, s | warm, s | median, s |",
        "|---|---:|---|---:|",
    ]
    for name, seconds in cold.items():
        each = [run[name] for run in warm]
        lines.append(
            f"| {name} | {seconds:.1f} | {' '.join(f'{value:.1f}' for value in each)} | "
            f"{statistics.median(each):.1f} |"
        )
    files = result["files"]
    lines += [
        "",
        f"{FILES:,} files of {FILE_BYTES / 1000:.0f} kB: plan {files['plan']:.1f} s; from extract to land "
        f"{files['extract to land']:.1f} s, in {files['extract tasks']} extract tasks.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=RUNS)
    print(markdown(run(parser.parse_args().runs)))
