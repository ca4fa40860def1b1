"""One side of a comparison as a process of its own: its figures, and the memory that it took.

A side is a module of this package that ends by printing its figures as one line of JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from bench.memory import Peak
from millstream.settings import CHECKOUT

Made = TypeVar("Made")


class Steps:
    """Seconds of each step of a side, told as they end."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def timed(self, name: str, step: Callable[[], Made]) -> Made:
        began = time.perf_counter()
        made = step()
        self.seconds[name] = round(self.seconds.get(name, 0) + time.perf_counter() - began, 2)
        print(f"{name}: {self.seconds[name]} s", file=sys.stderr, flush=True)
        return made


def run_side(module: str, *arguments: str) -> dict[str, Any]:
    """The figures of `python -m bench.<module> <arguments>`, with `process` (s) and peaks (bytes)."""
    began = time.perf_counter()
    side = subprocess.Popen(
        [sys.executable, "-m", f"bench.{module}", *arguments], cwd=CHECKOUT, stdout=subprocess.PIPE
    )
    peak = Peak(side.pid)
    assert side.stdout is not None
    output = side.stdout.read()
    status = side.wait()
    peak.end()
    if status:
        raise SystemExit(f"bench.{module} ended with status {status}")
    figures: dict[str, Any] = json.loads(output.splitlines()[-1])
    return {
        **figures,
        "process": round(time.perf_counter() - began, 1),
        "own": peak.own,
        "jvm": peak.jvm,
        "worker": peak.worker,
    }


def files_below(folder: Path) -> tuple[int, int]:
    """How many files there are, and their bytes."""
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return len(sizes), sum(sizes)
