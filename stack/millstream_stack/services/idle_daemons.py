"""Ends the Python daemons that closed sessions leave on the Spark Connect server.

Every session that runs Python there has a daemon of its own, of some 40 MB, and Spark keeps them all for as
long as the server lives (https://github.com/apache/spark/pull/55131): after 29 tests a server had 124 of them
with 4.3 GB. One without workers has had nothing to do for a minute; should its session go on, Spark starts
another. A daemon that is ended in the instant in which its session asks for a worker fails that attempt; the
next one succeeds. supervisord wakes this program once a minute, as an event listener.

One daemon for all sessions is not possible, because the server sets `spark.sql.artifact.isolation.enabled` in
each; without daemons (`spark.python.use.daemon=false`) the first Python of a session takes 6.1 s instead of
3.6. This module may go with a release of Spark that has SPARK-54055.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress

import psutil
from supervisor import childutils

from millstream_stack.services.spark_server import SERVER_CLASS
from millstream_stack.supervision.processes import end

# A daemon that has just been started has no worker yet.
LEAST_AGE_S = 120.0


def idle_daemons(server: psutil.Process, least_age_s: float = LEAST_AGE_S) -> list[psutil.Process]:
    """The server's Python daemons of at least this age that have no workers."""
    daemons = []
    for process in server.children():
        with suppress(psutil.Error):
            old = time.time() - process.create_time() >= least_age_s
            if old and "pyspark.daemon" in process.cmdline() and not process.children():
                daemons.append(process)
    return daemons


def _connect_servers(supervisor: psutil.Process) -> list[psutil.Process]:
    servers = []
    for process in supervisor.children():
        with suppress(psutil.Error):
            if SERVER_CLASS in process.cmdline():
                servers.append(process)
    return servers


def main() -> None:
    while True:
        childutils.listener.wait()
        for server in _connect_servers(psutil.Process(os.getppid())):
            with suppress(psutil.Error):
                end(idle_daemons(server))
        childutils.listener.ok()


if __name__ == "__main__":
    main()
