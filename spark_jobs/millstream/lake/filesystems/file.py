"""A folder of this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from millstream.lake.filesystems import Stat


class FileSystem:
    """`file://` URIs; a path in them is taken as it is, without percent-encoding, as Spark takes it."""

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

    def create(self, path: str) -> _Writer:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return _Writer(path)

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


def _stat(path: str) -> Iterator[Stat]:
    # Another task may have removed it meanwhile: then it is not there.
    with suppress(FileNotFoundError):
        of_file = os.stat(path)
        yield Stat(path, of_file.st_size, datetime.fromtimestamp(of_file.st_mtime, UTC))


class _Writer:
    def __init__(self, path: str) -> None:
        self._stream = open(path, "wb")  # noqa: SIM115 (closed by whoever writes)
        self.write = self._stream.write

    def close(self) -> None:
        """A power cut must not leave the name without the content."""
        if not self._stream.closed:
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()
