"""How long the steps of a long test take, by the clock and by the processors."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Step:
    """`processor_s` is of this process and of all that it and its children have started."""

    name: str
    seconds: float
    processor_s: float

    def __str__(self) -> str:
        return f"{self.name}: {self.seconds:.1f} s ({self.processor_s:.1f} s of processor)"


class Steps:
    """The steps so far."""

    def __init__(self) -> None:
        self.ended: list[Step] = []

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        began, used = time.monotonic(), _processor_s()
        yield
        self.ended.append(Step(name, time.monotonic() - began, _processor_s() - used))


def _processor_s() -> float:
    own = psutil.Process()
    total = 0.0
    for process in (own, *own.children(recursive=True)):
        # One that has ended meanwhile counts with its parent.
        with suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])
    return total
