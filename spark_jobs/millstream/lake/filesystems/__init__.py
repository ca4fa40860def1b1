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

SCHEMES = ("file", "hdfs")


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


class FileSystem(Protocol):
    """Files by absolute path. All methods raise OSError when the storage fails."""

    root: str

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

    def create(self, path: str) -> Writer:
        """A new file; folders above it are made."""
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


def file_system(uri: str) -> FileSystem:
    """The file system of a folder's URI, with `root` as the folder's path in it.

    Raises: ConfigurationError when the scheme is none of `SCHEMES`.
    """
    scheme = urlsplit(uri).scheme
    if "://" not in uri or scheme not in SCHEMES:
        known = " or ".join(f"{name}://" for name in SCHEMES)
        raise ConfigurationError(
            f"lake root {uri!r}: expected a URI that begins with {known}; set MILLSTREAM_LAKE_ROOT"
        )
    module = importlib.import_module(f"{__name__}.{scheme}")
    opened: FileSystem = module.FileSystem(uri)
    return opened
