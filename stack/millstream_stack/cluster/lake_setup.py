"""Waits until HDFS takes writes, and makes the folders that servers expect, which start after it."""

from __future__ import annotations

import sys
import time

import httpx

from millstream.lake.storage import Storage
from millstream.settings import Settings

STATE = "http://namenode:9870/jmx?qry=Hadoop:service=NameNode,name=NameNodeInfo"
TIMEOUT_S = 120.0
POLL_S = 1.0


def safe_mode(client: httpx.Client) -> str:
    """Why HDFS takes no writes; empty when it does."""
    [state] = client.get(STATE).json()["beans"]
    return str(state["Safemode"])


def main() -> int:
    deadline = time.monotonic() + TIMEOUT_S
    with httpx.Client(timeout=10, trust_env=False) as client:
        while reason := safe_mode(client):
            if time.monotonic() > deadline:
                print(f"error: HDFS takes no writes: {reason}", file=sys.stderr)
                return 1
            time.sleep(POLL_S)
    settings = Settings()
    # Spark makes no folder for its event logs. A file that is written: DataNodes take blocks.
    Storage(settings.event_log_root).write(".made", b"")
    with Storage(settings.lake_root).lock("setup", TIMEOUT_S):
        return 0


if __name__ == "__main__":
    sys.exit(main())
