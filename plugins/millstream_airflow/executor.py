"""Airflow's LocalExecutor, which outlives the death of an idle worker.

Its idle workers wait for their turn at one queue under a lock that multiprocessing never takes back from a
process that is killed with it: no worker gets a task any more, until the scheduler is restarted. So it is in
Airflow 3.3.2 (`executors/local_executor.py`); this module may go when its workers share no lock.
"""

from __future__ import annotations

import ctypes
import fcntl
import multiprocessing
import tempfile
from typing import Any

from airflow.executors import local_executor


class ProcessLock:
    """A lock between processes that the kernel takes back from one that ends, however it ends.

    A POSIX record lock: it belongs to a process, not to its threads, and a fork does not inherit it.
    """

    def __init__(self) -> None:
        # Open as long as the lock is there; closed with it.
        self._file = tempfile.TemporaryFile()  # noqa: SIM115
        self._depth = 0

    def acquire(self) -> bool:
        if self._depth == 0:
            fcntl.lockf(self._file, fcntl.LOCK_EX)
        self._depth += 1
        return True

    def release(self) -> None:
        self._depth -= 1
        if self._depth == 0:
            fcntl.lockf(self._file, fcntl.LOCK_UN)

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *error: object) -> None:
        self.release()


class LocalExecutor(local_executor.LocalExecutor):
    """The same, with a `ProcessLock` wherever its processes share a lock."""

    def start(self) -> None:
        # Workers inherit the locks when they are forked, so the parent class may fork none before.
        forks, self.is_mp_using_fork = self.is_mp_using_fork, False
        super().start()
        self.is_mp_using_fork = forks
        queue: Any
        for queue in (self.activity_queue, self.result_queue):
            queue._rlock, queue._wlock = ProcessLock(), ProcessLock()
        unread: Any = multiprocessing.Value(ctypes.c_uint, lock=ProcessLock())  # type: ignore[call-overload]
        self._unread_messages = unread
        self._spawn_workers_with_gc_freeze(self.parallelism)  # type: ignore[no-untyped-call]
