"""Files in a folder: copied as they are, by content; a slice is one large file, or many small ones."""

from __future__ import annotations

import errno
import io
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, field_validator

from millstream.contracts.contract import Contract
from millstream.contracts.months import Month, is_month
from millstream.contracts.sources.files import Source as FilesSource
from millstream.errors import REMEDY, ConfigurationError, SourceDataError, SourceUnavailableError
from millstream.landing.checks import check_file, splitter
from millstream.landing.manifest import LandedFile
from millstream.landing.run import Landing

PLACEHOLDER = "{partition}"
# A task of Spark reads about so much.
PIECE_BYTES = 1 << 26
# A task of its own costs a small file more time than the copy.
SLICE_BYTES = 1 << 26
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class SourceFile(BaseModel):
    """One file, relative to the connection's folder."""

    model_config = ConfigDict(frozen=True)

    path: str
    partition: Month | None = None

    @field_validator("path")
    @classmethod
    def _lies_in_the_folder(cls, path: str) -> str:
        if not path or path.startswith("/") or ".." in path.split("/") or CONTROL.search(path):
            raise ValueError(f"not a file below the connection's folder: {path!r}")
        return path


class FileSlice(BaseModel):
    """The files that one task fetches, one after the other."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["files"] = "files"
    files: tuple[SourceFile, ...] = Field(min_length=1)


class FilesExtractor:
    """Reads the files of one contract below `folder`; notes of large ones pieces of about `piece_bytes`.

    A file that is not there, cannot be read or is corrupt raises SourceDataError; a folder that is not
    there, or a file that changes under the reader, raises SourceUnavailableError.
    """

    def __init__(self, contract: Contract, folder: Path, piece_bytes: int = PIECE_BYTES) -> None:
        if not isinstance(contract.source, FilesSource):
            raise ConfigurationError(f"{contract.dataset}: its source is {contract.source.kind}, not files")
        self._contract = contract
        self._source = contract.source
        self._folder = folder
        self._piece_bytes = piece_bytes

    def plan(self, partitions: Sequence[str], watermark: str | None = None) -> list[FileSlice]:
        """One file for each partition, or the one of an unpartitioned dataset, in slices of `SLICE_BYTES`.

        No partitions asked for means all that the folder has. Raises SourceDataError naming every missing
        file, before anything is copied.
        """
        self._check_folder()
        files = self._files(partitions)
        sizes = [self._size(file) for file in files]
        if missing := [self._where(file) for file, size in zip(files, sizes, strict=True) if size is None]:
            raise _missing(missing)
        slices: list[list[SourceFile]] = []
        room = 0
        for file, size in zip(files, sizes, strict=True):
            assert size is not None
            if not slices or size > room:
                slices.append([])
                room = SLICE_BYTES
            slices[-1].append(file)
            room -= size
        return [FileSlice(files=tuple(each)) for each in slices]

    def fetch(self, piece: FileSlice, landing: Landing) -> list[LandedFile]:
        """Land the slice's files. Raises SourceDataError naming every file that is no good."""
        landed: list[LandedFile] = []
        refused: list[SourceDataError] = []
        for file in piece.files:
            try:
                landed.append(self._land(file, landing))
            except SourceDataError as error:
                refused.append(error)
        if refused:
            raise _all_of(refused)
        return landed

    def _land(self, file: SourceFile, landing: Landing) -> LandedFile:
        path = self._inside(file.path)
        where = self._where(file)
        modified = datetime.fromtimestamp(_status(path, where).st_mtime, UTC)
        return landing.land(
            source=file.path,
            name=path.name,
            read=lambda: cast(BinaryIO, _WholeFile(path, where)),
            check=check_file(self._contract, where, self._piece_bytes),
            split=splitter(self._contract, where, self._piece_bytes),
            partition=file.partition,
            modified=modified,
        )

    def _files(self, partitions: Sequence[str]) -> list[SourceFile]:
        if PLACEHOLDER not in self._source.path:
            return [SourceFile(path=self._source.path)]
        wrong = [partition for partition in partitions if not is_month(partition)]
        if wrong:
            raise ConfigurationError(
                f"{self._contract.dataset}: a partition is written YYYY-MM, found {', '.join(wrong)}"
            )
        wanted = sorted(set(partitions)) or self._delivered()
        return [
            SourceFile(path=self._source.path.replace(PLACEHOLDER, partition), partition=partition)
            for partition in wanted
        ]

    def _delivered(self) -> list[str]:
        """The partitions the folder has a file for."""
        before, after = (re.escape(part) for part in self._source.path.split(PLACEHOLDER, 1))
        pattern = re.compile(rf"{before}(?P<partition>\d{{4}}-(?:0[1-9]|1[0-2])){after}")
        with _source_failures(f"folder {self._folder}"):
            files = [path.relative_to(self._folder).as_posix() for path in self._folder.rglob("*")]
        partitions = sorted(match["partition"] for file in files if (match := pattern.fullmatch(file)))
        if not partitions:
            raise _missing([str(self._folder / self._source.path)])
        return partitions

    def _check_folder(self) -> None:
        with _source_failures(f"folder {self._folder}"):
            is_there = self._folder.is_dir()
        if not is_there:
            raise SourceUnavailableError(
                f"folder {self._folder} is not there: check that it is mounted, and the path in connection "
                f"{self._source.connection}"
            )

    def _inside(self, path: str) -> Path:
        """The file's real path, which must lie in the folder, wherever links lead."""
        self._check_folder()
        with _source_failures(str(self._folder / path)):
            resolved = (self._folder / path).resolve()
        if not resolved.is_relative_to(self._folder.resolve()):
            raise ConfigurationError(
                f"{path} leads out of folder {self._folder}: correct the contract's path"
            )
        return resolved

    def _size(self, file: SourceFile) -> int | None:
        """In bytes; None where no file is."""
        path = self._folder / file.path
        with _source_failures(self._where(file)):
            return path.stat().st_size if path.is_file() else None

    def _where(self, file: SourceFile) -> str:
        return str(self._folder / file.path)


class _WholeFile(io.RawIOBase):
    """A source file that must be read to the size it had when it was opened, and not change meanwhile."""

    def __init__(self, path: Path, where: str) -> None:
        self._where = where
        with _source_failures(where):
            self._file = path.open("rb", buffering=0)
        self._opened = os.fstat(self._file.fileno())
        self._read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        with _source_failures(self._where):
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


def _status(path: Path, where: str) -> os.stat_result:
    with _source_failures(where):
        return path.stat()


@contextmanager
def _source_failures(where: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _missing([where]) from error
    except (PermissionError, IsADirectoryError) as error:
        raise SourceDataError(
            f"{where} cannot be read: {error.strerror}. What to do: give the platform's user the right to "
            "read it, then clear the task"
        ) from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise ConfigurationError(
                f"{where}: this name is too long for the file system: correct the contract's path, or the "
                "one in the connection"
            ) from error
        raise SourceUnavailableError(f"{where} cannot be read now: {error.strerror or error}") from error


def _all_of(errors: Sequence[SourceDataError]) -> SourceDataError:
    """The errors as one: what each says, then what to do, once."""
    parts = [str(error).partition(REMEDY) for error in errors]
    problems = "\n".join(problem.strip() for problem, _, _ in parts)
    remedies = " ".join(dict.fromkeys(remedy for _, _, remedy in parts))
    return SourceDataError(f"{problems} {REMEDY}{remedies}")


def _missing(files: Sequence[str]) -> SourceDataError:
    return SourceDataError(
        f"{', '.join(files)}: not there. Nothing was landed. What to do: put the file there, or ask for "
        "partitions the source has delivered, then clear the task"
    )


EXTRACTOR, SLICE = FilesExtractor, FileSlice
