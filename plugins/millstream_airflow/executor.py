"""Airflow's LocalExecutor, without two of its faults: lost locks and forgotten tasks.

Airflow's idle workers wait at one queue under a lock of multiprocessing, which stays locked when the
process that holds it is killed: then no worker gets a task until the scheduler is restarted. And the
executor forgets a task as soon as a worker has it. A task that waits for something, and is resumed at once,
runs twice under one key: the end of the first run, reported during the second, is taken for the second's,
and the task fails (apache/airflow 67287, 71580, 72716). This is so in Airflow 3.3.2
(`executors/local_executor.py`); this module may go when both are mended there.

Two gaps are left. A worker that dies within microseconds of reading a task off the pipe takes it along:
Airflow finds the task after `task_queued_timeout`, ten minutes. And SQLite locks no rows: an answer that a
program gives in the tenth of a second between a question and its wait is kept, but the task goes on waiting
until its time to answer is over. A program waits until the task is *awaiting_input*.
"""

from __future__ import annotations

import ctypes
import fcntl
import multiprocessing
import tempfile
from collections import Counter
from typing import TYPE_CHECKING, Any

from airflow.executors import local_executor
from airflow.utils.state import TaskInstanceState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.executors.workloads import ExecutorWorkload
    from airflow.models.taskinstance import TaskInstance

# Callbacks end in states of the same names.
ENDED = (TaskInstanceState.SUCCESS, TaskInstanceState.FAILED)


class ProcessLock:
    """A lock between processes that the kernel releases when its holder ends, however it ends.

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
    """With a `ProcessLock` for each lock its processes share, and a count of the tasks that workers hold."""

    def start(self) -> None:
        # For each key: how often it was given to a worker, minus how often its end was reported.
        self._carried: Counter[Any] = Counter()
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

    def has_task(self, task_instance: TaskInstance) -> bool:
        return super().has_task(task_instance) or task_instance.key in self._carried

    def change_state(self, key: Any, state: Any, info: Any = None, remove_running: bool = True) -> None:
        if state in ENDED:
            self._carried -= Counter([key])  # Keeps what is above zero.
        super().change_state(key, state, info, remove_running)

    def _process_workloads(self, workload_list: Sequence[ExecutorWorkload]) -> None:
        self._carried.update(workload.key for workload in workload_list)
        super()._process_workloads(workload_list)  # type: ignore[no-untyped-call]
