"""What a benchmark runs on, for its report."""

from __future__ import annotations

import os
import platform

import psutil


def describe() -> str:
    """Cores that this process may use, memory, and Python's version."""
    cores = len(os.sched_getaffinity(0))
    memory = psutil.virtual_memory().total / 2**30
    return f"{cores} cores, {memory:.0f} GiB, {platform.system()}, Python {platform.python_version()}"
