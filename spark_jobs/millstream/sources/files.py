"""Files: copied as they are, by content; a slice is one large file, or many small ones.

A path may stand for many files: `{partition}` for a period, `*` for any part of a name, `**/` for any
folders. Of such files those are left out whose names say that they are being written or are nobody's data,
and for the next run those that were changed a moment ago.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from millstream.contracts.contract import Contract
from millstream.contracts.periods import PATTERNS, SHAPES, Grain, Period, grain_of
from millstream.contracts.sources.files import Source as FilesSource
from millstream.errors import REMEDY, ConfigurationError, SourceDataError, SourceUnavailableError
from millstream.landing.checks import check_file, splitter
from millstream.landing.manifest import LandedFile, measure
from millstream.landing.run import Landing
from millstream.landing.seen import brought_before
from millstream.sources.places import Folder, Found, Place, missing

log = logging.getLogger(__name__)
PLACEHOLDER = "{partition}"
# A task of Spark reads about so much.
PIECE_BYTES = 1 << 26
# A task of its own costs a small file more time than the copy.
SLICE_BYTES = 1 << 26
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# What writers call a file until it is whole, and what systems and editors leave.
UNFINISHED = ("part", "partial", "filepart", "tmp", "temp", "crdownload", "swp", "lock")
NOT_DATA = re.compile(rf"[._].*|~\$.*|.*~|.*\.(?:{'|'.join(UNFINISHED)})", re.IGNORECASE)
# Two changes so close together may have one time.
CLOCK_STEP = timedelta(seconds=5)


class SourceFile(BaseModel):
    """One file, relative to the connection's folder."""

    model_config = ConfigDict(frozen=True)

    path: str
    partition: Period | None = None

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
    """Reads the files of one contract at `place`; notes of large ones pieces of about `piece_bytes`.

    A file that is not there, cannot be read or is corrupt raises SourceDataError; a folder that is not
    there, or a file that changes under the reader, raises SourceUnavailableError.
    """

    def __init__(self, contract: Contract, place: Place | Path, piece_bytes: int = PIECE_BYTES) -> None:
        if not isinstance(contract.source, FilesSource):
            raise ConfigurationError(f"{contract.dataset}: its source is {contract.source.kind}, not files")
        self._contract = contract
        self._source = contract.source
        self._place = Folder(place, contract.source.connection) if isinstance(place, Path) else place
        self._piece_bytes = piece_bytes

    def plan(self, partitions: Sequence[str], watermark: str | None = None) -> list[FileSlice]:
        """One file for each partition, or the one of an unpartitioned dataset, in slices of `SLICE_BYTES`.

        No partitions asked for means all that the folder has. Raises SourceDataError naming every missing
        file, before anything is copied.
        """
        self._place.check()
        files, sizes = self._named(partitions) if self._source.names_one else self._listed(partitions)
        slices: list[list[SourceFile]] = []
        room = 0
        for file, size in zip(files, sizes, strict=True):
            if not slices or size > room:
                slices.append([])
                room = SLICE_BYTES
            slices[-1].append(file)
            room -= size
        return [FileSlice(files=tuple(each)) for each in slices]

    def settled(self) -> list[tuple[Found, str | None]]:
        """All that is there of the path now, each with its period, but what may be written still; also a file
        that is named. Raises what the place raises, not that nothing is there."""
        self._place.check()
        path = self._source.path
        asks_periods = self._contract.partition and not self._place.has_listing
        if self._source.names_one and (PLACEHOLDER not in path or asks_periods):
            periods: list[str | None] = [*self._contract.periods_at(datetime.now(UTC))] or [None]
            asked = [
                (self._place.find(path.replace(PLACEHOLDER, period or "")), period) for period in periods
            ]
            files = [(file, period) for file, period in asked if file]
        else:
            files = self._data()
        return [(file, period) for file, period in files if not self._is_young(file)]

    def fetch(self, piece: FileSlice, landing: Landing) -> list[LandedFile]:
        """Land the slice's files; of files whose rows are added those that no other run has brought as they
        are. Raises SourceDataError naming every file that is no good."""
        landed: list[LandedFile] = []
        refused: list[SourceDataError] = []
        before = brought_before(landing) if self._contract.load == "append" else {}
        for file in piece.files:
            try:
                if new := self._land(file, landing, before.get(file.path)):
                    landed.append(new)
            except SourceDataError as error:
                refused.append(error)
        if refused:
            raise _all_of(refused)
        return landed

    def _land(self, file: SourceFile, landing: Landing, before: LandedFile | None) -> LandedFile | None:
        where = self._place.where(file.path)
        found = self._place.find(file.path)
        if found is None:
            raise missing([where])
        version = self.version(found)
        if before is not None and self._is_as_before(file, before, version):
            return None
        return landing.land(
            source=file.path,
            name=self._name(file.path),
            read=lambda: self._place.open(file.path),
            check=check_file(self._contract, where, self._piece_bytes),
            split=splitter(self._contract, where, self._piece_bytes),
            partition=file.partition,
            modified=found.modified,
            version=version,
        )

    def _name(self, path: str) -> str:
        """What the landed object is called. Of files that are no tables each has its own, though another has
        the same bytes and name: it is a row of its own."""
        name = PurePosixPath(path).name
        if not self._contract.is_about_files:
            return name
        return f"{hashlib.sha256(path.encode()).hexdigest()[:8]}-{name}"

    def _is_as_before(self, file: SourceFile, before: LandedFile, version: str | None) -> bool:
        if version is not None and version == before.version:
            return True
        with self._place.open(file.path) as stream:
            return measure(stream) == (before.size, before.sha256)

    def version(self, found: Found) -> str | None:
        """What tells a file from what it was before, without reading it; None where nothing does, or reading
        costs little."""
        if not self._place.is_far:
            return None
        if found.size is None or found.modified is None:
            return found.version
        if found.version is None and datetime.now(UTC) - found.modified < CLOCK_STEP:
            return None
        return f"{found.size} bytes of {found.modified.isoformat()} {found.version or ''}".strip()

    def _named(self, partitions: Sequence[str]) -> tuple[list[SourceFile], list[int]]:
        """The one file, or that of each partition, with their sizes in bytes."""
        path = self._source.path
        periods = self._periods(partitions) if PLACEHOLDER in path else []
        paths: list[tuple[str, str | None]] = [(path.replace(PLACEHOLDER, each), each) for each in periods]
        paths = paths or [(path, None)]
        found = [self._place.find(each) for each, _ in paths]
        pairs = zip(paths, found, strict=True)
        if gone := [self._place.where(each) for (each, _), file in pairs if file is None]:
            raise missing(gone)
        files = [SourceFile(path=path, partition=period) for path, period in paths]
        return files, [(file.size if file else None) or 0 for file in found]

    def _periods(self, partitions: Sequence[str]) -> list[str]:
        self._check_periods(partitions)
        return sorted(set(partitions)) or sorted({period for _, period in self._matches() if period})

    def _listed(self, partitions: Sequence[str]) -> tuple[list[SourceFile], list[int]]:
        """The files that the pattern stands for, of these partitions or of all."""
        self._check_periods(partitions)
        found = self._matches()
        matches = [(file, period) for file, period in found if not partitions or period in partitions]
        if without := sorted(set(partitions) - {period for _, period in matches if period}):
            raise missing(
                [self._place.where(self._source.path.replace(PLACEHOLDER, each)) for each in without]
            )
        settled = [(file, period) for file, period in matches if not self._is_young(file)]
        for file in (file for file, _ in matches if self._is_young(file)):
            log.warning("%s was changed a moment ago: left for the next run", self._place.where(file.path))
        if not settled:
            raise SourceUnavailableError(
                f"{self._place.where(self._source.path)}: all {len(matches)} files were changed within the "
                f"last {self._source.quiet_seconds} s: they may be written still; another try will follow"
            )
        files = [SourceFile(path=file.path, partition=period) for file, period in settled]
        return files, [file.size or 0 for file, _ in settled]

    def _check_periods(self, partitions: Sequence[str]) -> None:
        if wrong := [partition for partition in partitions if grain_of(partition) != self._grain]:
            raise ConfigurationError(
                f"{self._contract.dataset}: a partition is written {SHAPES[self._grain]}, found "
                f"{', '.join(wrong)}"
            )

    @property
    def _grain(self) -> Grain:
        return self._contract.partition.grain if self._contract.partition else "month"

    def _matches(self) -> list[tuple[Found, str | None]]:
        """What there is of the pattern, as `_data` has it. Raises SourceDataError when there is nothing."""
        if not (data := self._data()):
            raise missing([self._place.where(self._source.path)])
        return data

    def _data(self) -> list[tuple[Found, str | None]]:
        """What there is of the pattern, by path, each with its period."""
        pattern = re.compile(_expression(self._source.path, self._grain))
        listed = sorted(self._place.files(_fixed_folder(self._source.path)), key=lambda file: file.path)
        matches = [
            (file, match.groupdict().get("partition"))
            for file in listed
            if (match := pattern.fullmatch(file.path)) and not CONTROL.search(file.path)
        ]
        data = [(file, period) for file, period in matches if not _is_no_data(file.path)]
        if len(data) < len(matches):
            log.info("%s: %s files left out by their names", self._source.path, len(matches) - len(data))
        return data

    def _is_young(self, file: Found) -> bool:
        if file.modified is None:
            return False
        return datetime.now(UTC) - file.modified < timedelta(seconds=self._source.quiet_seconds)


def _expression(path: str, grain: Grain) -> str:
    """A path of a contract as a regular expression."""
    parts = re.split(r"(\{partition\}|\*\*/|\*)", path)
    meant = {"{partition}": rf"(?P<partition>{PATTERNS[grain]})", "**/": "(?:.*/)?", "*": "[^/]*"}
    first = parts.index(PLACEHOLDER) if PLACEHOLDER in parts else None
    return "".join(
        "(?P=partition)" if part == PLACEHOLDER and place != first else meant.get(part, re.escape(part))
        for place, part in enumerate(parts)
    )


def _fixed_folder(path: str) -> str:
    """The folder above the first part of a path that may be anything."""
    return re.split(r"\{partition\}|\*", path)[0].rpartition("/")[0]


def _is_no_data(path: str) -> bool:
    return any(NOT_DATA.fullmatch(part) for part in path.split("/"))


def _all_of(errors: Sequence[SourceDataError]) -> SourceDataError:
    """The errors as one: what each says, then what to do, once."""
    parts = [str(error).partition(REMEDY) for error in errors]
    problems = "\n".join(problem.strip() for problem, _, _ in parts)
    remedies = " ".join(dict.fromkeys(remedy for _, _, remedy in parts))
    return SourceDataError(f"{problems} {REMEDY}{remedies}")


EXTRACTOR, SLICE = FilesExtractor, FileSlice
