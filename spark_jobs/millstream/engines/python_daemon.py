"""The daemon of Spark's Python workers, which ends when it has had no worker for a while.

    python -m millstream.engines.python_daemon pyspark.worker

is what executors of a Connect server start (`spark.python.daemon.module`), and the server itself where it is
its own executor. Each session has a daemon of its own, of some 40 MB, and Spark keeps them all for as long as
the executor lives (https://github.com/apache/spark/pull/55131): after 29 tests a server had 124 of them with
4.3 GB; a container is killed by YARN. A session that goes on is given another daemon: Spark starts one when
it cannot reach the last. One that ends in the instant in which its session asks for a worker fails that
attempt; the next one succeeds.

One daemon for all sessions is not possible, because the server sets `spark.sql.artifact.isolation.enabled` in
each; without daemons (`spark.python.use.daemon=false`) the first Python of a session takes 6.1 s instead of
3.6. Not needed any more with a release of Spark that has SPARK-54055.
"""

from __future__ import annotations

import os
import signal
import sys
import time

import psutil

# A worker that waits for its next task ends after a minute by itself.
IDLE_S = 30.0
LOOK_S = 5.0


def main() -> None:
    """Serves as `pyspark.daemon` does, until nobody has asked for a worker for `IDLE_S` seconds."""
    from pyspark.daemon import manager

    forget_library()
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


def forget_library() -> None:
    """Workers are copies of this process. With `millstream` imported they would take its modules from where
    it was found, and not from what their session has sent (`millstream.engines.sessions.send_code`)."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "millstream"]:
        del sys.modules[name]


if __name__ == "__main__":
    main()
