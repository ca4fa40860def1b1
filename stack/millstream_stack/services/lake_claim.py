"""The claim of a stack on its lake, held by its Spark Connect server.

    python -m millstream_stack.services.lake_claim <lake root> <home> <command> …

claims the lake, empties the server's scratch space and becomes the command. On a disk of this machine the
claim is the process's own, and ends when it does; on HDFS it is the stack's, and stays.

The scratch space is emptied here because Spark removes shuffles and spills only when it ends normally: each
kill of the server left more of them on the disk. The folder is the server's own, so nobody else's files go.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

from millstream.errors import LakeWriterError, MillstreamError
from millstream.lake.storage import Storage

# A server that was killed holds its lake until the kernel has put its memory away.
DYING_S = 30.0
POLL_S = 0.1


def scratch_path(home: Path) -> Path:
    """Where the server, and nothing else, has its shuffles, spills and temporary files.

    Of a name that nobody's own folder has, also where `scratch` leads to another disk: it is emptied.
    """
    return home / "scratch" / "spark-connect"


def owner(home: str) -> str:
    """The stack in `home`, as others are told of it."""
    return f"the stack in {home} on {socket.gethostname()}"


def claim(lake_root: str, home: str, wait_s: float = DYING_S) -> None:
    """Make the lake that of the stack in `home`: on a disk of this machine until this process ends.

    Raises: LakeWriterError when another one still has it after `wait_s` seconds.
    """
    storage = Storage(lake_root)
    deadline = time.monotonic() + wait_s
    while True:
        try:
            return storage.claim(owner(home))
        except LakeWriterError as error:
            if time.monotonic() >= deadline:
                raise
            if wait_s:
                print(f"waiting for the lake: {error}", file=sys.stderr, flush=True)
                wait_s = 0.0
            time.sleep(POLL_S)


def empty(scratch: Path) -> None:
    """Remove what is in the folder: a server that was killed has left its shuffles and spills there."""
    for left in scratch.glob("*"):
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
        else:
            with suppress(OSError):
                left.unlink()


def main(lake_root: str, home: str, command: list[str]) -> None:
    try:
        claim(lake_root, home)
    except MillstreamError as error:
        sys.exit(f"error: {error}")
    scratch = scratch_path(Path(home))
    scratch.mkdir(parents=True, exist_ok=True)
    empty(scratch)
    # Goes before `spark.local.dir`.
    os.environ["SPARK_LOCAL_DIRS"] = str(scratch)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
