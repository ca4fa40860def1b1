"""Processes that outlived their supervisor: found and ended.

They are known by the marker in their environment. Airflow's workers write their title over it
(`setproctitle`); those are known by supervisord's session, which they share, and their working folder.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import psutil

from millstream_stack.environment import MARKER

GRACE_S = 15.0


def strays(home: Path, session: int | None = None) -> list[psutil.Process]:
    """Every process of the stack in `home`, whose supervisord led `session`; never this one or a parent."""
    # A folder that is reached by a link: the kernel tells where it really is.
    home = home.resolve()
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    return [
        process
        for process in psutil.process_iter()
        if process.pid not in own and _belongs(process, home, session)
    ]


def _belongs(process: psutil.Process, home: Path, session: int | None) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        marker = process.environ().get(MARKER)
        if marker and Path(marker).resolve() == home:
            return True
        # The session's number alone would not do: after a restart of the machine it may be another's.
        return os.getsid(process.pid) == session and Path(process.cwd()).is_relative_to(home)
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
