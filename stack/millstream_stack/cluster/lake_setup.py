"""Waits until HDFS takes writes, and makes the folders, their owners and their quotas; twice is as once.

Services act as the user of this process, who is HDFS's administrator. Airflow's API server, which shows pages
of the lake, is `READER`: it may read and write nothing. The lake's group is `READERS`, and what is made below
takes it from its folder; nobody else may look (fs.permissions.umask-mode). Who is in the group says
hadoop.user.group.static.mapping.overrides in conf/hadoop.
"""

from __future__ import annotations

import os
import sys
import time
from urllib.parse import urlsplit

from millstream.errors import ClusterError, MillstreamError
from millstream.settings import Settings
from millstream_stack.cluster.webhdfs import WebHdfs

READER, READERS = "reader", "readers"
FOLDER_MODE = "750"
TIMEOUT_S = 120.0
POLL_S = 1.0


def wait_for_writes(hdfs: WebHdfs, timeout_s: float = TIMEOUT_S) -> None:
    """Raises ClusterError when HDFS still takes no writes after so long."""
    deadline = time.monotonic() + timeout_s
    while reason := hdfs.safe_mode():
        if time.monotonic() > deadline:
            raise ClusterError(f"HDFS takes no writes: {reason}")
        time.sleep(POLL_S)


def prepare(hdfs: WebHdfs, lake: str, events: str, space_bytes: int, names: int) -> None:
    """Makes the folders `lake` and `events`, of Spark's event logs, with what the lake may take: bytes of all
    copies together, and files and folders.

    Without a limit a full lake fills the disk that the databases are on too.
    """
    for folder in (lake, events):
        hdfs.ask("PUT", "MKDIRS", folder)
        hdfs.ask("PUT", "SETPERMISSION", folder, permission=FOLDER_MODE)
    hdfs.ask("PUT", "SETOWNER", lake, group=READERS)
    hdfs.ask("PUT", "SETQUOTA", lake, namespacequota=str(names), storagespacequota=str(space_bytes))


def main() -> int:
    settings = Settings()
    try:
        with WebHdfs() as hdfs:
            wait_for_writes(hdfs)
            prepare(
                hdfs,
                urlsplit(settings.lake_root).path,
                urlsplit(settings.event_log_root).path,
                int(os.environ["LAKE_QUOTA_BYTES"]),
                int(os.environ["LAKE_QUOTA_FILES"]),
            )
    except MillstreamError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
