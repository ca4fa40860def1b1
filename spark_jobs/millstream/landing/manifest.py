"""The landing zone: source bytes exactly as received, named by their content, and one manifest a run.

    landing/<dataset>/[partition=2013-01/]<first 12 of the SHA-256>-<name>     never changed once written
    landing/<dataset>/_manifests/<run key>.json                               written last: the run has landed
    landing/<dataset>/_unfinished/<run key>/…                                  notes of a run under way

A run without a manifest has landed nothing, whatever objects lie there; its retry finds them again by name.
Retention removes what no manifest names once it is old (`millstream.upkeep.retention.remove_unlanded`).
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import pairwise
from typing import BinaryIO, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from millstream.contracts.periods import ANY, Period
from millstream.contracts.sources import Identifier
from millstream.errors import SourceDataError
from millstream.formats.record import Piece
from millstream.lake.storage import PART_NAME, File, Storage
from millstream.lake.tables import is_run_key
from millstream.landing.receiving import CHUNK_BYTES

NAME_DIGITS = 12
UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
LONGEST_NAME = 120
# What `Landing` makes: the folder of a dataset, of a period if it is cut, and a checksum before a safe name.
LANDED = re.compile(
    rf"landing/[a-z][a-z0-9_]{{0,62}}/(?:partition=(?:{ANY})/)?"
    rf"[0-9a-f]{{{NAME_DIGITS}}}-[A-Za-z0-9._-]{{1,{LONGEST_NAME}}}"
)
# A file that is not whole.
PART = re.compile(rf"landing/[^/]+/((partition=[^/]+|_manifests)/)?{PART_NAME}")

Status = Literal["new", "unchanged", "changed"]


class LandedFile(BaseModel):
    """One source object as landed. Sizes in bytes, times in UTC.

    It travels as an XCom, which people can write: `path` is that of a landed object, and of nothing else.
    """

    model_config = ConfigDict(frozen=True)

    path: str = Field(description="The landed object, relative to the lake root.")
    source: str = Field(description="Where it came from; holds no secret.")
    size: int
    sha256: str
    modified: datetime | None = Field(
        default=None, description="Last change at the source, where it says so."
    )
    version: str | None = Field(default=None, description="What the source calls these bytes, if anything.")
    landed_at: datetime
    partition: Period | None = None
    rows: int | None = Field(default=None, description="Where the extractor knows it.")
    watermark: str | None = Field(default=None, description="Highest watermark value inside.")
    status: Status = Field(description="Against the last manifest that names the same source.")
    seen: tuple[tuple[int, int], ...] = Field(
        default=(),
        description="Rows that an earlier run has brought just so: first and last of each range, from 1 on.",
    )
    keys: bool = Field(
        default=False, description="It has no rows, but the keys of all rows that the source had."
    )
    pieces: tuple[Piece, ...] = Field(
        default=(),
        description="Parts that can be read alone: offset and length in bytes, number of the first row. "
        "Without any the file is read as a whole.",
    )

    @field_validator("path")
    @classmethod
    def _is_a_landed_object(cls, path: str) -> str:
        if LANDED.fullmatch(path) is None or ".." in path:
            raise ValueError(
                f"not a landed object: {path!r}; expected landing/<dataset>/[partition=<period>/]"
                "<checksum>-<name>"
            )
        return path

    @field_validator("pieces")
    @classmethod
    def _follow_each_other(cls, pieces: tuple[Piece, ...]) -> tuple[Piece, ...]:
        for piece, following in pairwise(pieces):
            if piece.offset + piece.length != following.offset or piece.first_row >= following.first_row:
                raise ValueError(
                    f"pieces that leave out bytes or rows, or have them twice: {piece}, {following}"
                )
        if pieces and (pieces[0].offset < 0 or pieces[0].length < 1 or pieces[0].first_row != 1):
            raise ValueError(f"not the first piece of a file: {pieces[0]}")
        return pieces

    @model_validator(mode="after")
    def _reach_to_the_end(self) -> Self:
        if self.pieces and self.pieces[-1].offset + self.pieces[-1].length != self.size:
            raise ValueError(
                f"pieces that end elsewhere than the file's {self.size} bytes: {self.pieces[-1]}"
            )
        return self

    @property
    def dataset(self) -> str:
        return self.path.split("/")[1]

    def has_seen(self, row: int) -> bool:
        place = bisect_right(self.seen, row, key=lambda span: span[0]) - 1
        return place >= 0 and row <= self.seen[place][1]


class Manifest(BaseModel):
    """What one run landed, of one dataset: all that a later step needs to know about it."""

    model_config = ConfigDict(frozen=True)

    dataset: Identifier
    run: str = Field(description="The orchestrator's run id, as given.")
    key: str = Field(description="`run_key(run)`.")
    fetch_began: datetime = Field(description="When the run began to fetch; orders manifests.")
    partitions: tuple[Period, ...]
    files: tuple[LandedFile, ...]
    keys: tuple[LandedFile, ...] = Field(
        default=(), description="The keys that the source had, where the run compares them."
    )
    replaced: tuple[str, ...] = Field(
        default=(), description="Landed objects that only earlier landings of this run name."
    )
    watermark_low: str | None = Field(
        default=None, description="How far had been read; the look-back reaches further back."
    )
    watermark_high: str | None = Field(default=None, description="Where the next run may start.")
    removed_at: datetime | None = Field(
        default=None, description="When retention removed the files that only this run and older ones name."
    )

    @field_validator("key")
    @classmethod
    def _names_a_run(cls, key: str) -> str:
        if not is_run_key(key):
            raise ValueError(f"not a run key: {key!r}")
        return key

    @model_validator(mode="after")
    def _of_one_dataset(self) -> Self:
        if other := sorted({file.path for file in self.files if file.dataset != self.dataset}):
            raise ValueError(f"not landed for {self.dataset}: {', '.join(other)}")
        return self

    @property
    def path(self) -> str:
        return manifest_path(self.dataset, self.key)

    @property
    def unchanged(self) -> bool:
        """Whether the source delivered only what an earlier run had landed already."""
        return all(file.status == "unchanged" for file in self.files)

    @property
    def paths(self) -> list[str]:
        """The landed objects with rows, each once, relative to the lake root."""
        return list(dict.fromkeys(file.path for file in self.files))

    @property
    def objects(self) -> list[str]:
        """All that the run landed, and what only earlier landings of it name."""
        return [*self.paths, *(file.path for file in self.keys), *self.replaced]


def run_key(run: str) -> str:
    """A run id as a file name: letters, digits, `.`, `_`, `-`; different ids give different keys.

    A key is its own key.
    """
    clean = safe_name(run)
    if clean == run:
        return clean
    return f"{clean[: LONGEST_NAME - 9]}-{hashlib.sha256(run.encode()).hexdigest()[:8]}"


def read_manifest(storage: Storage, dataset: str, run: str) -> Manifest:
    """The manifest of run `run`. Raises SourceDataError when that run has landed nothing."""
    path = manifest_path(dataset, run_key(run))
    if not storage.exists(path):
        raise SourceDataError(
            f"{dataset}: run {run} has landed nothing ({path} does not exist). What to do: run its extract "
            "task first"
        )
    return parsed(storage, path)


def replace_manifest(storage: Storage, manifest: Manifest) -> None:
    """Write a manifest, in one step."""
    storage.write(manifest.path, manifest.model_dump_json(indent=2).encode())


def manifests_of(storage: Storage, dataset: str) -> list[Manifest]:
    """All manifests of a dataset, oldest first."""
    folder = f"{folder_of(dataset)}/_manifests"
    names = [name for name in storage.list(folder) if not name.startswith(".")]
    manifests = [parsed(storage, f"{folder}/{name}") for name in names]
    return sorted(manifests, key=lambda manifest: (manifest.fetch_began, manifest.key))


def landed_later(storage: Storage, dataset: str, run: str) -> set[str]:
    """Landed objects that only runs after `run` have received."""
    own = read_manifest(storage, dataset, run)
    later = [
        manifest for manifest in manifests_of(storage, dataset) if manifest.fetch_began > own.fetch_began
    ]
    return {path for manifest in later for path in manifest.paths} - set(own.paths)


def latest_manifest(
    storage: Storage, dataset: str, accept: Callable[[Manifest], bool] = lambda manifest: True
) -> Manifest | None:
    """The newest manifest that `accept` says yes to, or None.

    The next watermark must come from a run whose rows were published, not merely landed: pass an `accept`
    that knows, or what a failed gate held back is never asked for again.
    """
    return next((manifest for manifest in reversed(manifests_of(storage, dataset)) if accept(manifest)), None)


def unfinished(storage: Storage, dataset: str) -> dict[str, tuple[File, ...]]:
    """The notes of runs that have not landed, by their folder: under way, failed, or with nothing to land."""
    folder = f"{folder_of(dataset)}/_unfinished"
    return {f"{folder}/{name}": storage.files(f"{folder}/{name}") for name in storage.list(folder)}


def unlanded(storage: Storage, dataset: str) -> list[str]:
    """Paths of objects that no manifest names, and of files whose writing was cut off or goes on."""
    manifests = manifests_of(storage, dataset)
    landed = {path for manifest in manifests for path in manifest.objects}
    return [
        file.path
        for file in storage.files(folder_of(dataset))
        if (LANDED.fullmatch(file.path) and file.path not in landed) or PART.fullmatch(file.path)
    ]


def verify(storage: Storage, manifest: Manifest) -> None:
    """Read all landed objects of a manifest again and compare their checksums.

    Raises: SourceDataError naming every object that is missing or has other bytes than were received.
    """
    if damaged := damaged_files(storage, manifest.files):
        raise SourceDataError(
            f"{manifest.dataset}: landed files are missing or not as received: {', '.join(damaged)}. "
            f"What to do: clear the extract task of run {manifest.run} to land them again"
        )


def damaged_files(storage: Storage, files: Iterable[LandedFile]) -> list[str]:
    """Paths of landed objects that are missing or have other bytes than were received; each is read once."""
    received = {(file.path, file.size, file.sha256): file for file in files}
    return sorted({file.path for file in received.values() if not is_intact(storage, file)})


def folder_of(dataset: str) -> str:
    return f"landing/{dataset}"


def manifest_path(dataset: str, key: str) -> str:
    return f"{folder_of(dataset)}/_manifests/{key}.json"


def parsed(storage: Storage, path: str) -> Manifest:
    try:
        return Manifest.model_validate_json(storage.read(path))
    except ValidationError as error:
        raise SourceDataError(
            f"{path} is not a manifest: {error.errors()[0]['msg']}. What to do: remove the file"
        ) from error


def is_intact(storage: Storage, file: LandedFile) -> bool:
    if not storage.exists(file.path):
        return False
    with storage.reading(file.path) as stream:
        return measure(stream) == (file.size, file.sha256)


def measure(stream: BinaryIO) -> tuple[int, str]:
    digest = hashlib.sha256()
    size = 0
    for chunk in _chunks(stream):
        digest.update(chunk)
        size += len(chunk)
    return size, digest.hexdigest()


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk


def safe_name(name: str) -> str:
    cleaned = UNSAFE.sub("_", name).replace("..", "__").lstrip(".")
    return cleaned[:LONGEST_NAME] or "_"
