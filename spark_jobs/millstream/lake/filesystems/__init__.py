"""Where a lake's files can lie: one module a scheme, each with a class `FileSystem`.

They offer the little that `millstream.lake.storage` needs, and promise the same: a written file is durable
when `close` returns, a move replaces in one step, and a lock is held by one process at a time and free again
some time after that process has died.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Protocol
from urllib.parse import urlsplit

from millstream.errors import ConfigurationError
from millstream.settings import LAKE_SCHEMES


@dataclass(frozen=True)
class Stat:
    """A file: its path in the file system, its size in bytes, and when it was last changed (UTC)."""

    path: str
    bytes: int
    modified: datetime


class Writer(Protocol):
    """A file that is being written."""

    def write(self, content: bytes, /) -> object: ...

    def close(self) -> None:
        """End the file, with its bytes on disk. Closing twice does nothing."""
        ...

    def abandon(self) -> None:
        """Let go of a file that is to be removed, also where it cannot be ended."""
        ...


class FileSystem(Protocol):
    """Files by absolute path. All methods raise OSError when the storage fails."""

    root: str
    # What ends another's claim, which lies at `{path}`.
    how_to_release: str

    def exists(self, path: str) -> bool: ...

    def names(self, folder: str) -> list[str]:
        """The names directly below a folder; none when there is no such folder."""
        ...

    def files(self, path: str) -> Iterator[Stat]:
        """The file, or all files below the folder, at `path`; none when there is nothing."""
        ...

    def open(self, path: str) -> BinaryIO:
        """The file's bytes, seekable. Raises FileNotFoundError."""
        ...

    def create(self, path: str, private: bool) -> Writer:
        """A new file, for this user alone if it is `private`; folders above it are made."""
        ...

    def move(self, path: str, target: str) -> None:
        """Give a file another name, replacing what had it; folders above it are made."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file, or a folder and all below it; nothing happens when there is none."""
        ...

    def lock(self, path: str, timeout_s: float) -> AbstractContextManager[None]:
        """Hold the lock of the file `path`. Raises TimeoutError when another process keeps it."""
        ...

    def require_safe_for_writers(self) -> None:
        """Return when two processes can never both make the same file of `root`.

        Raises: ConfigurationError, which names the place and the reason.
        """
        ...

    def claim(self, path: str, owner: str) -> str | None:
        """Note in the file `path` that `owner` has the lake: None when it has it now, or else who does.

        On a disk of this machine a claim ends with the process, also after `exec`; on a cluster it stays
        until the file is removed, because there no process could hold it for another.
        """
        ...

    def claimant(self, path: str) -> str | None:
        """Whoever has the lake by `claim`, if anybody."""
        ...


def file_system(uri: str) -> FileSystem:
    """The file system of a folder's URI, with `root` as the folder's path in it.

    Raises: ConfigurationError when the scheme is none of `LAKE_SCHEMES`.
    """
    scheme = urlsplit(uri).scheme
    if "://" not in uri or scheme not in LAKE_SCHEMES:
        known = " or ".join(f"{name}://" for name in LAKE_SCHEMES)
        raise ConfigurationError(
            f"lake root {uri!r}: expected a URI that begins with {known}; set MILLSTREAM_LAKE_ROOT"
        )
    module = importlib.import_module(f"{__name__}.{scheme}")
    opened: FileSystem = module.FileSystem(uri)
    return opened
