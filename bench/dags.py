"""How long Airflow takes to read each DAG file, on a stack where nothing else runs.

    stack/run python -m bench dags        or        stack/run python -m bench.dags --runs 9

Every file is read anew on request, one at a time, by the DAG processor of a stack of its own; the seconds
are those that Airflow keeps of each reading (`last_parse_duration`: wall time, from the start of the process
that reads the file to its end).
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

from bench import machine
from bench.own_stack import own_stack, publish_sources, say
from millstream.errors import ClusterError
from millstream_stack.clients.airflow_api import AirflowApi

TITLE = "DAG files"
BUDGET_S = 0.3
REREAD_TIMEOUT_S = 120.0
POLL_S = 0.5


def run(runs: int = 5) -> dict[str, list[float]]:
    """For each DAG the seconds of every reading."""
    publish_sources()
    seconds_of: dict[str, list[float]] = {}
    with own_stack(0) as (api, dags, _):
        # A DAG that nobody runs is read all the same, and its schedule disturbs no measurement.
        for name in dags:
            api.pause(name)
        for number in range(1, runs + 1):
            for name in sorted(dags):
                seconds_of.setdefault(name, []).append(_reread(api, name))
            say(
                f"reading {number}: {sum(seconds[-1] for seconds in seconds_of.values()):.2f} s for all files"
            )
    return seconds_of


def _reread(api: AirflowApi, dag_id: str) -> float:
    before = api.dags()[dag_id]
    api.reread(before["file_token"])
    deadline = time.monotonic() + REREAD_TIMEOUT_S
    while time.monotonic() < deadline:
        now = api.dags()[dag_id]
        if now["last_parsed_time"] != before["last_parsed_time"]:
            return round(float(now["last_parse_duration"]), 3)
        time.sleep(POLL_S)
    raise ClusterError(f"Airflow has not read the file of {dag_id} again within {REREAD_TIMEOUT_S:.0f} s")


def markdown(result: dict[str, list[float]]) -> str:
    """The median and the longest reading of each file, as Markdown."""
    medians = {name: statistics.median(seconds) for name, seconds in result.items()}
    slow = sum(seconds > BUDGET_S for seconds in medians.values())
    lines = [
        f"{machine.describe()}; {max(map(len, result.values()))} readings of each file; "
        f"{slow} of {len(medians)} files take more than {BUDGET_S} s.",
        "",
        "| DAG file | median (s) | longest (s) |",
        "|---|---:|---:|",
        *(f"| {name} | {medians[name]:.2f} | {max(result[name]):.2f} |" for name in sorted(result)),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    arguments: Any = parser.parse_args()
    print(markdown(run(arguments.runs)))
