"""The daemon of Spark's Python workers, which ends when it has had no worker for a while.

    python -m millstream.engines.python_daemon pyspark.worker

is what an executor starts (`spark.python.daemon.module`). Each session of a Connect server has a daemon of
its own, of some 40 MB, and Spark keeps them all for as long as the executor lives
(https://github.com/apache/spark/pull/55131): in time they fill its container, and YARN kills it. A session
that goes on is given another daemon: Spark starts one when it cannot reach the last. Not needed any more with
a release of Spark that has SPARK-54055.
"""

from __future__ import annotations

import os
import signal
import time

import psutil

# A worker that waits for its next task ends after a minute by itself.
IDLE_S = 30.0
LOOK_S = 5.0


def main() -> None:
    """Serves as `pyspark.daemon` does, until nobody has asked for a worker for `IDLE_S` seconds."""
    from pyspark.daemon import manager

    myself, busy_at = psutil.Process(), time.monotonic()

    def look(*_: object) -> None:
        nonlocal busy_at
        if myself.pid != os.getpid():
            # A worker: timers are not inherited, handlers are.
            return
        if myself.children():
            busy_at = time.monotonic()
        elif time.monotonic() - busy_at >= IDLE_S:
            os.kill(myself.pid, signal.SIGTERM)

    # A timer and not a thread: the daemon forks, and must have none.
    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, LOOK_S, LOOK_S)
    manager()


if __name__ == "__main__":
    main()
