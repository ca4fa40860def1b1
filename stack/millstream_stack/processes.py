"""Processes that outlived their supervisor: found by the marker in their environment, and ended."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import psutil

from millstream_stack.environment import MARKER

GRACE_S = 15.0


def strays(home: Path) -> list[psutil.Process]:
    """Every process of the stack whose runtime files are in `home`, except this one and its ancestors."""
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    return [
        process for process in psutil.process_iter() if process.pid not in own and _belongs(process, home)
    ]


def _belongs(process: psutil.Process, home: Path) -> bool:
    try:
        marked: bool = process.environ().get(MARKER) == str(home)
        return marked and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OSError):
        return False


def end(processes: list[psutil.Process], grace_s: float = GRACE_S) -> int:
    """Asks the processes to end, kills those that have not after `grace_s` seconds; returns their number."""
    for process in processes:
        _signal(process, kill=False)
    _, alive = psutil.wait_procs(processes, timeout=grace_s)
    for process in alive:
        _signal(process, kill=True)
    psutil.wait_procs(alive, timeout=grace_s)
    return len(processes)


def _signal(process: psutil.Process, *, kill: bool) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):  # it may end by itself meanwhile
        process.kill() if kill else process.terminate()
