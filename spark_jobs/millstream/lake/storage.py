"""Files of the lake outside Spark: paths relative to the lake's root, whole files or none.

A file appears by a move, so a reader sees all of it or nothing, and a process that dies in mid-write leaves
nothing that looks like data.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from millstream.errors import ClusterError, ConfigurationError, LakeWriterError
from millstream.lake.filesystems import Writer, file_system

# What a file is called until it is published, as a regular expression.
PART_NAME = r"\.[0-9a-f]{32}\.part"
LOCKS = ".locks"
CLAIM = f"{LOCKS}/stack.lock"


@dataclass(frozen=True)
class File:
    """A file below the lake's root; its size in bytes and its last change (UTC)."""

    path: str
    bytes: int
    modified: datetime


class Storage:
    """The lake below `lake_root`, a URI of one of `millstream.lake.filesystems`.

    Every path is relative to the root and uses `/`. A failing storage raises ClusterError, because another
    try may pass; a root of another kind, and a path that leads out of the root, raise ConfigurationError.

    Paths are looked at, not what lies there: a link in a local lake is followed, and only who starts the
    stack can put one there. Removing a folder removes the links in it, not what they lead to.
    """

    def __init__(self, lake_root: str) -> None:
        self.lake_root = lake_root
        self._fs = file_system(lake_root)
        self._base = self._fs.root

    def exists(self, path: str) -> bool:
        with storage_failures(path):
            return self._fs.exists(self._at(path))

    def list(self, folder: str) -> list[str]:
        """Names directly below `folder`, sorted; empty when the folder does not exist."""
        with storage_failures(folder):
            return sorted(self._fs.names(self._at(folder)))

    def files(self, path: str) -> tuple[File, ...]:
        """The file at `path`, or all files below that folder; none when there is nothing."""
        with storage_failures(path):
            return tuple(
                File(file.path.removeprefix(f"{self._base}/"), file.bytes, file.modified)
                for file in self._fs.files(self._at(path))
            )

    @contextmanager
    def lock(self, name: str, timeout_s: float) -> Iterator[None]:
        """One process at a time, on whichever machine, holds the lock `name` of this lake.

        Raises: ClusterError when another process does not give it back in time.
        """
        path = f"{LOCKS}/{name}.lock"
        with ExitStack() as held:
            with storage_failures(path):
                try:
                    held.enter_context(self._fs.lock(self._at(path), timeout_s))
                except TimeoutError as error:
                    raise ClusterError(
                        f"another process has held the lock {name} of {self.lake_root} for "
                        f"{timeout_s:.0f} s; look for a task of another run that is still running"
                    ) from error
            yield

    def require_safe_for_writers(self) -> None:
        """Raise ConfigurationError when several processes cannot safely write a lake that lies here."""
        with storage_failures(""):
            self._fs.require_safe_for_writers()

    def claim(self, owner: str) -> None:
        """Make the lake that of `owner`, as `filesystems.FileSystem.claim` says.

        Raises: LakeWriterError, which says who has it and what to do.
        """
        with storage_failures(CLAIM):
            claimant = self._fs.claim(self._at(CLAIM), owner)
        self._require_own(claimant, owner)

    def require_unclaimed(self, owner: str) -> None:
        """Raise LakeWriterError when another one than `owner` has the lake."""
        with storage_failures(CLAIM):
            claimant = self._fs.claimant(self._at(CLAIM))
        self._require_own(claimant, owner)

    def _require_own(self, claimant: str | None, owner: str) -> None:
        if claimant not in (None, owner):
            raise LakeWriterError(
                f"{self.lake_root} belongs to {claimant or 'another stack'} already, and a lake has one "
                f"stack: {self._fs.how_to_release.format(path=CLAIM)}, or give this stack a lake of its own "
                "with MILLSTREAM_LAKE_ROOT"
            )

    @contextmanager
    def reading(self, path: str) -> Iterator[BinaryIO]:
        """The file's bytes, seekable. Raises ClusterError also when there is no such file."""
        with storage_failures(path), self._fs.open(self._at(path)) as stream:
            yield stream

    def read(self, path: str) -> bytes:
        """The whole file. Raises ClusterError also when there is no such file."""
        with self.reading(path) as stream:
            return stream.read()

    def write(self, path: str, content: bytes, private: bool = False) -> None:
        """Put `content` at `path` in one step, replacing what was there; `private`: for this user alone."""
        with self.new_file(path.rpartition("/")[0], private) as new:
            new.write(content)
            new.publish(path)

    @contextmanager
    def new_file(self, folder: str, private: bool = False) -> Iterator[NewFile]:
        """A file that is invisible until it is published; dropped at the end of the block otherwise.

        Nobody but this user, and the storage's administrators, can read one that is `private`.
        """
        hidden = f"{folder}{'/' if folder else ''}.{uuid.uuid4().hex}.part"
        with storage_failures(hidden):
            stream = self._fs.create(self._at(hidden), private)
        new = NewFile(self, hidden, stream)
        try:
            yield new
        except BaseException:
            # What went wrong is told, not what follows from it.
            stream.abandon()
            with suppress(ClusterError):
                self.remove(hidden)
            raise
        new.close()
        self.remove(hidden)

    def rename(self, path: str, target: str) -> None:
        """Move a file in one step, replacing what was at `target`."""
        with storage_failures(target):
            self._fs.move(self._at(path), self._at(target))

    def remove(self, path: str) -> None:
        """Remove a file, or a folder and all below it; nothing happens when there is none.

        Raises ConfigurationError also for the root itself.
        """
        place = self._at(path)
        if not set(path.split("/")) - {"", "."}:
            raise ConfigurationError(f"{path!r} is all of {self._base}: correct what names it")
        with storage_failures(path):
            self._fs.remove(place)

    def _at(self, path: str) -> str:
        """The last line of defence: whoever takes paths from outside says more clearly what is wrong."""
        if path.startswith("/") or ".." in path.split("/"):
            raise ConfigurationError(
                f"{path!r} leads out of {self._base}: correct what names it, or clear the task that made that"
            )
        return f"{self._base}/{path}".rstrip("/") or "/"


class NewFile:
    """A file being written; see `Storage.new_file`."""

    def __init__(self, storage: Storage, path: str, stream: Writer) -> None:
        self._storage = storage
        self._path = path
        self._stream = stream

    def write(self, content: bytes) -> None:
        with storage_failures(self._path):
            self._stream.write(content)

    def close(self) -> None:
        """Close, with the bytes on disk first."""
        with storage_failures(self._path):
            self._stream.close()

    @contextmanager
    def reading(self) -> Iterator[BinaryIO]:
        """What was written, to look at it before it is published. Ends the writing."""
        self.close()
        with self._storage.reading(self._path) as stream:
            yield stream

    def publish(self, path: str) -> None:
        """Give the file its name, in one step."""
        self.close()
        self._storage.rename(self._path, path)


def local_uri(path: str | Path) -> str:
    """URI of a file or folder of this machine as `Storage` and Spark take it: nothing is encoded."""
    return f"file://{Path(path).resolve()}"


@contextmanager
def storage_failures(path: str) -> Iterator[None]:
    """Turns an operating system's error at `path` into a ClusterError that says where and what to check."""
    try:
        yield
    except OSError as error:
        raise ClusterError(
            f"the lake's storage failed at {path}: {error.strerror or error}; "
            "check that it is mounted, its free space and its access rights"
        ) from error
