"""How much memory a process and those below it take, sampled while they run."""

from __future__ import annotations

import threading

import psutil

INTERVAL_S = 0.1


class Peak:
    """The largest resident size, in bytes, of a process itself, of its JVM, and of any Python worker of
    Spark below it."""

    def __init__(self, pid: int | None = None) -> None:
        """`pid` is this process when not given."""
        self.own = self.jvm = self.worker = 0
        self._process = psutil.Process(pid)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(INTERVAL_S):
            try:
                self.own = max(self.own, self._process.memory_info().rss)
                children = self._process.children(recursive=True)
            except psutil.NoSuchProcess:
                return
            for child in children:
                try:
                    size = child.memory_info().rss
                    if child.name() == "java":
                        self.jvm = max(self.jvm, size)
                    elif any("pyspark.daemon" in part for part in child.cmdline()):
                        self.worker = max(self.worker, size)
                except psutil.NoSuchProcess:
                    continue
