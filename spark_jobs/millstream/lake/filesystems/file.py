"""A folder of this machine."""

from __future__ import annotations

import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import psutil
from filelock import FileLock, Timeout

from millstream.errors import ConfigurationError
from millstream.lake.filesystems import Stat

# They have hard links, but answer from caches: another machine's new name is not seen at once, and a reply
# that was lost lets a link that was made look like one that was refused.
NETWORK_FILE_SYSTEMS = frozenset(
    ("nfs", "nfs3", "nfs4", "cifs", "smb3", "smbfs", "afpfs", "9p", "fuse.sshfs", "fuse.rclone")
)
LONGEST_NOTE = 4096


class FileSystem:
    """`file://` URIs; a path in them is taken as it is, without percent-encoding, as Spark takes it."""

    how_to_release = "run `make down` there"

    def __init__(self, uri: str) -> None:
        self.root = uri.removeprefix("file://").rstrip("/")

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def names(self, folder: str) -> list[str]:
        return os.listdir(folder) if os.path.isdir(folder) else []

    def files(self, path: str) -> Iterator[Stat]:
        if os.path.isfile(path):
            yield from _stat(path)
        for folder, _, names in os.walk(path):
            for name in names:
                yield from _stat(f"{folder}/{name}")

    def open(self, path: str) -> BinaryIO:
        return open(path, "rb")

    def create(self, path: str, private: bool) -> _Writer:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return _Writer(path, 0o600 if private else 0o666)

    def move(self, path: str, target: str) -> None:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.replace(path, target)

    def remove(self, path: str) -> None:
        with suppress(FileNotFoundError):
            # A link goes, not what it leads to.
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.remove(path)

    @contextmanager
    def lock(self, path: str, timeout_s: float) -> Iterator[None]:
        """The kernel's lock on the file, which it takes back when the process ends."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, timeout=timeout_s)
        try:
            lock.acquire()
        except Timeout as error:
            raise TimeoutError(f"another process has held {path} for {timeout_s:.0f} s") from error
        try:
            yield
        finally:
            lock.release()

    def require_safe_for_writers(self) -> None:
        """The lake's log store commits by a hard link, which must fail where the name exists."""
        folder = Path(self.root)
        folder.mkdir(parents=True, exist_ok=True)
        kind = kind_of_mount(folder)
        if kind in NETWORK_FILE_SYSTEMS:
            reason = f"is on a network file system ({kind}), which does not tell its writers apart"
            raise _unsafe(folder, reason)
        probe, link = (folder / f".{uuid.uuid4().hex}.{part}" for part in ("probe", "link"))
        probe.touch()
        try:
            os.link(probe, link)
            os.link(probe, link)
        except FileExistsError:
            return
        except OSError as error:
            reason = f"is on a file system ({kind}) without hard links: {error.strerror}"
            raise _unsafe(folder, reason) from error
        finally:
            probe.unlink()
            link.unlink(missing_ok=True)
        raise _unsafe(folder, f"is on a file system ({kind}) where a hard link replaces a file")

    def claim(self, path: str, owner: str) -> str | None:
        """A POSIX record lock on the file: it stays with a process that becomes another program, goes to none
        of its children, and the kernel takes it back when the process ends, however it ends. Nothing else in
        this process may open and close that file: the kernel would take the lock back."""
        claimed = _locked(path)
        if isinstance(claimed, str):
            return claimed
        # Open until the end: the lock goes with the file that it is on.
        os.set_inheritable(claimed, True)
        # On a full disk the lake is claimed all the same, under an older note.
        with suppress(OSError):
            note = f"{owner} (process {os.getpid()})".encode()
            os.pwrite(claimed, note, 0)
            os.ftruncate(claimed, len(note))
        return None

    def claimant(self, path: str) -> str | None:
        claimed = _locked(path)
        if isinstance(claimed, str):
            return claimed
        os.close(claimed)
        return None


def kind_of_mount(folder: Path) -> str:
    """The kind of file system that `folder` is on, as the operating system calls it; `unknown` where it does
    not say so."""
    place = folder.resolve()
    mounted = {Path(partition.mountpoint): partition.fstype for partition in psutil.disk_partitions(all=True)}
    return next((mounted[parent] for parent in (place, *place.parents) if parent in mounted), "unknown")


def _unsafe(folder: Path, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"the lake cannot lie in {folder}: it {reason}. Two processes could both believe to have made "
        "the same version of a table. What to do: set MILLSTREAM_LAKE_ROOT to a folder on a local disk"
    )


def _locked(path: str) -> int | str:
    """The open file with the lock on it, or the note of the process that has the lock."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        note = os.pread(file, LONGEST_NOTE, 0).decode(errors="replace")
        os.close(file)
        return note
    return file


def _stat(path: str) -> Iterator[Stat]:
    # Another task may have removed it meanwhile: then it is not there.
    with suppress(FileNotFoundError):
        of_file = os.stat(path)
        yield Stat(path, of_file.st_size, datetime.fromtimestamp(of_file.st_mtime, UTC))


class _Writer:
    def __init__(self, path: str, mode: int) -> None:
        # Closed by whoever writes.
        self._stream = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb")
        self.write = self._stream.write

    def close(self) -> None:
        """A power cut must not leave the name without the content."""
        if not self._stream.closed:
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()

    def abandon(self) -> None:
        # What is still in the buffer fails as it has before, on a full disk.
        with suppress(OSError):
            self._stream.close()
