"""The claim of a stack on its lake, held by its Spark Connect server.

    python -m millstream_stack.services.lake_claim <lake root> <home> <command> …

claims the lake, empties the server's scratch space and becomes the command. The claim is a POSIX record
lock on a file beside the lake's tables: it stays with a process that becomes another program, goes to none
of its children, and the kernel takes it back when the process ends, however it ends. Nothing else in this
process may open and close that file: the kernel would take the lock back.

The scratch space is emptied here because Spark removes shuffles and spills only when it ends normally: each
kill of the server left more of them on the disk. The folder is the server's own, so nobody else's files go.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path

from millstream.errors import LakeWriterError
from millstream.lake.storage import storage_failures

# A server that was killed holds its lake until the kernel has put its memory away.
DYING_S = 30.0
POLL_S = 0.1


def claim_path(lake_root: str) -> Path:
    return Path(lake_root.removeprefix("file://")) / ".locks" / "stack.lock"


def scratch_path(home: Path) -> Path:
    """Where the server, and nothing else, has its shuffles, spills and temporary files.

    Of a name that nobody's own folder has, also where `scratch` leads to another disk: it is emptied.
    """
    return home / "scratch" / "spark-connect"


def require_unclaimed(lake_root: str) -> None:
    """Raise LakeWriterError, which names the holder, when a stack has this lake."""
    os.close(_claimed(lake_root))


def claim(lake_root: str, home: str, wait_s: float = DYING_S) -> None:
    """Make the lake the stack's until this process ends; `home` is what others are told.

    Raises: LakeWriterError when another one still is after `wait_s` seconds.
    """
    deadline = time.monotonic() + wait_s
    while True:
        try:
            lock = _claimed(lake_root)
        except LakeWriterError as error:
            if time.monotonic() >= deadline:
                raise
            if wait_s:
                print(f"waiting for the lake: {error}", file=sys.stderr, flush=True)
                wait_s = 0.0
            time.sleep(POLL_S)
        else:
            break
    # Open until the end: the lock goes with the file that it is on.
    os.set_inheritable(lock, True)
    # On a full disk the lake is claimed all the same, under an older note.
    with suppress(OSError):
        note = json.dumps({"home": home, "pid": os.getpid()}).encode()
        os.pwrite(lock, note, 0)
        os.ftruncate(lock, len(note))


def _claimed(lake_root: str) -> int:
    """The open file with the lock on it."""
    path = claim_path(lake_root)
    with storage_failures(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        os.close(lock)
        raise LakeWriterError(
            f"{lake_root} belongs to {_holder(path)} already, and a lake has one stack: run `make down` "
            "there, or give this stack a lake of its own with MILLSTREAM_LAKE_ROOT"
        ) from None
    return lock


def _holder(path: Path) -> str:
    try:
        note = json.loads(path.read_text())
        return f"the stack in {note['home']} (process {note['pid']})"
    except (OSError, ValueError, TypeError, KeyError):
        return "another stack"


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
    except LakeWriterError as error:
        sys.exit(f"error: {error}")
    scratch = scratch_path(Path(home))
    scratch.mkdir(parents=True, exist_ok=True)
    empty(scratch)
    # Goes before `spark.local.dir`.
    os.environ["SPARK_LOCAL_DIRS"] = str(scratch)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
