"""Where the files of a source lie: a folder of this machine, or one that an fsspec file system reaches.

A `Place` lists and opens files by their paths below its folder. It raises SourceDataError for what is not
there or may not be read, ConfigurationError for a refused login, and SourceUnavailableError for what another
try may mend.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol, cast

from millstream.errors import ConfigurationError, SourceDataError, SourceUnavailableError, printable


class Found(NamedTuple):
    """A file: size in bytes, last change (UTC) where the place says it, and the place's own mark of this
    version of it, such as an ETag."""

    path: str
    size: int | None
    modified: datetime | None
    version: str | None = None


class Place(Protocol):
    """A folder of files."""

    # Whether reading a file costs far more than asking about it.
    is_far: bool
    # Whether it says which files there are; otherwise `files` raises ConfigurationError.
    has_listing: bool

    def where(self, path: str) -> str:
        """A file's full name, in words for a person; holds no secret."""
        ...

    def check(self) -> None:
        """Raises SourceUnavailableError when the folder is not there."""
        ...

    def files(self, below: str = "") -> Iterator[Found]:
        """All files below a folder of this one."""
        ...

    def find(self, path: str) -> Found | None:
        """The file at `path`; None where there is none."""
        ...

    def open(self, path: str) -> BinaryIO:
        """The file's bytes, which must be all there and not change while they are read."""
        ...


class Folder:
    """A folder of this machine."""

    is_far = False
    has_listing = True

    def __init__(self, folder: Path, connection: str) -> None:
        self._folder = folder
        self._connection = connection

    def where(self, path: str) -> str:
        return str(self._folder / path)

    def check(self) -> None:
        with failures(f"folder {self._folder}"):
            is_there = self._folder.is_dir()
        if not is_there:
            raise SourceUnavailableError(
                f"folder {self._folder} is not there: check that it is mounted, and the path in "
                f"connection {self._connection}"
            )

    def files(self, below: str = "") -> Iterator[Found]:
        with failures(f"folder {self._folder / below}"):
            for path in (self._folder / below).rglob("*"):
                if path.is_file():
                    found = self.find(path.relative_to(self._folder).as_posix())
                    if found:
                        yield found

    def find(self, path: str) -> Found | None:
        with failures(self.where(path)):
            place = self._folder / path
            if not place.is_file():
                return None
            status = place.stat()
        return Found(path, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))

    def open(self, path: str) -> BinaryIO:
        self.check()
        with failures(self.where(path)):
            resolved = (self._folder / path).resolve()
        # Wherever links lead.
        if not resolved.is_relative_to(self._folder.resolve()):
            raise ConfigurationError(
                f"{path} leads out of folder {self._folder}: correct the contract's path"
            )
        return cast(BinaryIO, _WholeFile(resolved, self.where(path)))


class _WholeFile(io.RawIOBase):
    """A source file that must be read to the size it had when it was opened, and not change meanwhile."""

    def __init__(self, path: Path, where: str) -> None:
        self._where = where
        with failures(where):
            self._file = path.open("rb", buffering=0)
        self._opened = os.fstat(self._file.fileno())
        self._read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        with failures(self._where):
            count = self._file.readinto(buffer) or 0
        self._read += count
        # Not only at the end: a file that grows faster than it is read has none.
        if count == 0 or self._read > self._opened.st_size:
            self._check_whole()
        return count

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()

    def _check_whole(self) -> None:
        now = os.fstat(self._file.fileno())
        unchanged = (now.st_size, now.st_mtime_ns) == (self._opened.st_size, self._opened.st_mtime_ns)
        if self._read != self._opened.st_size or not unchanged:
            raise SourceUnavailableError(
                f"{self._where} changed while it was read ({self._opened.st_size} bytes when opened, "
                f"{self._read} read, {now.st_size} now): it is still being written; another try will follow"
            )


@contextmanager
def failures(where: str) -> Iterator[None]:
    """What an operating system's error at `where` means for the run."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise missing([where]) from error
    except (PermissionError, IsADirectoryError) as error:
        raise SourceDataError(
            f"{where} cannot be read: {error.strerror or error}. What to do: give the platform's user the "
            "right to read it, then clear the task"
        ) from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise ConfigurationError(
                f"{where}: this name is too long for the file system: correct the contract's path, or the "
                "one in the connection"
            ) from error
        reason = printable(str(error.strerror or error))
        raise SourceUnavailableError(
            f"{where} cannot be read now: {reason}. Check what it lies on; another try will follow"
        ) from error


def missing(files: Sequence[str]) -> SourceDataError:
    """That files are not there."""
    return SourceDataError(
        f"{', '.join(files)}: not there. Nothing was landed. What to do: put the file there, correct the "
        "path in contract or connection, or ask for partitions the source has delivered; then clear the task"
    )
