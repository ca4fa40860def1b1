"""The executor's workers can be killed, also while they are idle, and what they carry is known."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from airflow.executors.base_executor import BaseExecutor

from millstream_airflow.executor import LocalExecutor
from tests.support import waiting

TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Work:
    """As much of a workload as the executor looks at."""

    key: str
    running_state: str | None = None
    success_state: str = "success"
    failure_state: str = "failed"
    display_name: str = "work"
    waits_for: Path | None = None

    def carry_out(self) -> None:
        if self.waits_for:
            until(self.waits_for.exists)


def until(condition: Callable[[], bool]) -> None:
    waiting.until(condition, TIMEOUT_S, "the executor")


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalExecutor]:
    monkeypatch.setattr(BaseExecutor, "run_workload", lambda workload, **more: workload.carry_out())
    running = LocalExecutor(parallelism=3)
    running.start()
    yield running
    for pid in running.workers:
        os.kill(pid, signal.SIGKILL)


def carried(executor: Any, key: str) -> None:
    """Give the executor a piece of work and wait for its end."""
    work = Work(key)
    executor.queued_tasks[key] = work
    executor._process_workloads([work])

    def done() -> bool:
        executor.sync()
        return bool(executor.event_buffer.get(key, ("",))[0] == "success")

    until(done)


def _is_idle(worker: psutil.Process) -> bool:
    return "<idle>" in " ".join(worker.cmdline())


def test_killed_idle_workers_do_not_take_the_queue_with_them(executor: Any) -> None:
    carried(executor, "before")
    for number in range(3):
        workers = [psutil.Process(pid) for pid in executor.workers]
        # One of them waits at the queue, the others for its lock.
        for worker in workers:
            until(partial(_is_idle, worker))
        for worker in workers:
            worker.kill()
        for process in list(executor.workers.values()):
            process.join(TIMEOUT_S)
        carried(executor, f"after {number}")


def test_the_end_of_its_first_run_is_not_the_end_of_a_task_that_was_resumed(
    executor: Any, tmp_path: Path
) -> None:
    task = SimpleNamespace(id="its id", key="resumed")

    def give(work: Work) -> None:
        executor.queued_tasks["resumed"] = work
        executor._process_workloads([work])

    def ends() -> int:
        executor.sync()
        events.extend(state for state, _ in executor.get_event_buffer().values() if state == "success")
        return len(events)

    events: list[str] = []
    give(Work("resumed"))
    until(lambda: not executor.result_queue.empty())
    give(Work("resumed", waits_for=tmp_path / "go on"))
    until(lambda: ends() == 1)
    assert executor.has_task(task)

    (tmp_path / "go on").touch()
    until(lambda: ends() == 2)
    assert not executor.has_task(task)
