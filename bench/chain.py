"""The whole chain under Airflow against one hand-written PySpark script that does the same work.

    stack/run python -m bench chain        or        stack/run python -m bench.chain --runs 3

Each run of the chain has a stack, a lake and a registry of its own, and is timed from the first trigger to
the end of the last task; the stack is up by then, as it is for anyone who uses it. Each run of the script is
a new process, timed as a whole. The two take turns. The sources are published before.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from bench import machine
from bench.own_stack import SCRATCH, own_stack, publish_sources, say
from millstream.settings import CHECKOUT
from millstream_stack.clients.airflow_api import Task
from millstream_stack.commands.demo import Ingests, follow

TITLE = "Chain"


def platform(number: int) -> dict[str, Any]:
    """Seconds of the chain, and of each of its tasks."""
    with own_stack(number) as (api, dags, home):
        moment, began = datetime.now(UTC), time.monotonic()
        ingests = Ingests(api, dags, f"file://{home}/lake")
        runs, tasks = follow(api, moment, ingests.triggered, lambda runs, tasks: None, ingests.start_due)
        seconds = time.monotonic() - began
        failed = [run.dag_id for run in runs if run.state != "success"]
        if failed:
            raise SystemExit(f"these runs failed: {failed}; see {home}/logs")
        # Airflow's own measure of each DAG's file.
        parsing = {name: round(dag["last_parse_duration"], 2) for name, dag in sorted(api.dags().items())}
    return {"seconds": round(seconds, 1), "tasks": _seconds_by_task(tasks), "parsing": parsing}


def _seconds_by_task(tasks: list[Task]) -> dict[str, float]:
    total: dict[str, float] = defaultdict(float)
    for task in tasks:
        if task.started and task.ended and task.state == "success":
            total[f"{task.dag_id}.{task.task_id}"] += (task.ended - task.started).total_seconds()
    return {name: round(seconds, 1) for name, seconds in sorted(total.items())}


def script(number: int) -> dict[str, float]:
    """Seconds of the script as a process, and of each of its steps."""
    out = SCRATCH / f"script-{number}"
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(CHECKOUT / "bench" / "handwritten.py"), str(SCRATCH / "demo"), str(out)],
        stdout=subprocess.PIPE,
        check=True,
    )
    seconds = round(time.monotonic() - began, 1)
    shutil.rmtree(out)
    steps: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return {**steps, "process": seconds}


def markdown(result: dict[str, Any]) -> str:
    """The runs, their medians, their ratio, and where the chain's time goes, as Markdown."""
    chains, scripts = result["chains"], result["scripts"]
    chain, hand = [run["seconds"] for run in chains], [run["process"] for run in scripts]
    ratio = statistics.median(chain) / statistics.median(hand)
    steps = sorted({name for run in chains for name in run["tasks"]})
    lines = [
        f"{machine.describe()}; {len(chains)} runs each, taking turns.",
        "",
        "| | runs (s) | median (s) |",
        "|---|---|---:|",
        f"| chain under Airflow | {', '.join(map(str, chain))} | {statistics.median(chain):.1f} |",
        f"| hand-written script | {', '.join(map(str, hand))} | {statistics.median(hand):.1f} |",
        f"| ratio | | {ratio:.2f} |",
        "",
        "| task | median (s) |",
        "|---|---:|",
        *(
            f"| {name} | {statistics.median(run['tasks'].get(name, 0) for run in chains):.1f} |"
            for name in steps
        ),
        "",
        "| DAG file, last parsed in | median (s) |",
        "|---|---:|",
        *(
            f"| {name} | {statistics.median(run['parsing'][name] for run in chains):.2f} |"
            for name in sorted(chains[0]["parsing"])
        ),
        "",
        "| step of the script | median (s) |",
        "|---|---:|",
        *(f"| {name} | {statistics.median(run[name] for run in scripts):.1f} |" for name in scripts[0]),
    ]
    return "\n".join(lines)


def run(runs: int = 3) -> dict[str, Any]:
    """Every run of both: seconds, and seconds of each task or step."""
    publish_sources()
    chains, scripts = [], []
    for number in range(runs):
        scripts.append(script(number))
        say(f"script {number + 1}: {scripts[-1]}")
        chains.append(platform(number))
        say(f"chain {number + 1}: {chains[-1]}")
    return {"chains": chains, "scripts": scripts}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    print(markdown(run(parser.parse_args().runs)))
