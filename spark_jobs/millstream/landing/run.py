"""One run's landing: what it fetches becomes landed objects, and last its manifest."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import BinaryIO, cast

from millstream.formats.record import Piece
from millstream.lake.storage import Storage
from millstream.landing.manifest import (
    NAME_DIGITS,
    LandedFile,
    Manifest,
    Status,
    folder_of,
    is_intact,
    latest_manifest,
    manifest_path,
    manifests_of,
    measure,
    parsed,
    replace_manifest,
    run_key,
    safe_name,
)
from millstream.landing.receiving import Check, Received, Split, in_one_piece, unchecked
from millstream.landing.watermarks import highest

# The note of when a run began to fetch.
BEGAN = "began"
# What parts two manifests when the clock does not.
TICK = timedelta(milliseconds=1)

Opener = Callable[[], BinaryIO]


class Landing:
    """Where one run of one dataset lands what it fetches."""

    def __init__(
        self,
        storage: Storage,
        dataset: str,
        run: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._storage = storage
        self._now = now
        self.dataset = dataset
        self.run = run
        self.key = run_key(run)

    def land(
        self,
        source: str,
        name: str,
        read: Opener,
        check: Check = unchecked,
        *,
        split: Split = in_one_piece,
        partition: str | None = None,
        modified: datetime | None = None,
        rows: int | None = None,
        watermark: str | None = None,
        version: str | None = None,
        keys: bool = False,
    ) -> LandedFile:
        """Land the bytes that `read` opens, as they are, unless the same bytes are there already.

        Args:
            source: what `read` reads, in words for a person; the key by which a change is noticed.
            name: last part of the object's name; unsafe characters become `_`.
            check: looks at the received bytes and raises when they are no good; then nothing is landed.
            split: in which pieces they can be read, said while they pass by.
            version: what the source calls these bytes: the same as before is not read again.

        Raises: whatever `read` and `check` raise; ClusterError when the lake's storage fails.
        """
        before = self._last_landed.get(source)
        # A row's period is told by the folder in which its file has landed.
        if before and before.partition == partition and self._is_unchanged(before, read, version):
            path, size, digest, pieces = before.path, before.size, before.sha256, before.pieces
        else:
            path, size, digest, pieces = self._copy(name, read, check, split, partition)
        return LandedFile(
            path=path,
            source=source,
            size=size,
            sha256=digest,
            modified=modified,
            landed_at=self._now(),
            partition=partition,
            rows=rows,
            watermark=watermark,
            status=_status(before, digest),
            pieces=pieces,
            version=version,
            keys=keys,
        )

    def commit(
        self, partitions: Sequence[str], files: Sequence[LandedFile], watermark_low: str | None = None
    ) -> Manifest:
        """Write the run's manifest, which makes its `files` landed, rows and keys; an earlier try's manifest
        is replaced.

        Manifests are ordered by `fetch_began`: when the run began to fetch, as far as that was noted. The
        same files once more are no newer than they were.
        """
        # What a look-back brings alone may lie before what had been read.
        reached = [watermark_low, *(file.watermark for file in files)]
        keys = tuple(file for file in files if file.keys)
        files = tuple(file for file in files if not file.keys)
        before = self.landed()
        began = self.noted(BEGAN)
        if began is not None:
            fetch_began = datetime.fromisoformat(began)
        elif before is not None and (before.files, before.keys) == (files, keys):
            fetch_began = before.fetch_began
        else:
            fetch_began = self._next()
        manifest = Manifest(
            dataset=self.dataset,
            run=self.run,
            key=self.key,
            fetch_began=fetch_began,
            partitions=tuple(partitions),
            files=files,
            keys=keys,
            replaced=_replaced(before, files),
            watermark_low=watermark_low,
            watermark_high=highest(mark for mark in reached if mark is not None),
        )
        replace_manifest(self._storage, manifest)
        self._storage.remove(self._notes)
        return manifest

    def begin(self) -> None:
        """Note that the run fetches from now on, all of it: what an earlier try has noted is of then.

        Of two runs that fetch at once, the one that began later has the newer bytes, however long it takes
        either to land them.
        """
        self._storage.remove(self._notes)
        self.note(BEGAN, self._next().isoformat())

    def landed(self) -> Manifest | None:
        """The manifest of an earlier try, if this run has landed before."""
        path = manifest_path(self.dataset, self.key)
        return parsed(self._storage, path) if self._storage.exists(path) else None

    def _next(self) -> datetime:
        """A time after every manifest's, even if the machine's clock was set back: the clock of Kulkarni et
        al., "Logical Physical Clocks" (2014), without its counter."""
        newest = latest_manifest(self._storage, self.dataset)
        return max(self._now(), newest.fetch_began + TICK) if newest else self._now()

    def note(self, name: str, content: str) -> None:
        """Keep `content` for a retry of this same run; forgotten when the manifest is written."""
        self._storage.write(f"{self._notes}/{name}", content.encode())

    def noted(self, name: str) -> str | None:
        """What an earlier try of this run noted, if anything."""
        path = f"{self._notes}/{name}"
        return self._storage.read(path).decode() if self._storage.exists(path) else None

    def forget(self, folder: str) -> None:
        """Drop the notes whose names start with `folder/`."""
        self._storage.remove(f"{self._notes}/{folder}")

    def is_intact(self, file: LandedFile) -> bool:
        """Whether the landed object is still there with the bytes the record speaks of."""
        return is_intact(self._storage, file)

    def bytes_of(self, file: LandedFile) -> bytes:
        """A landed object. Raises FileNotFoundError when it is no longer there, as retention may have it."""
        if not self._storage.exists(file.path):
            raise FileNotFoundError(f"{file.path} is no longer there")
        return self._storage.read(file.path)

    @property
    def storage(self) -> Storage:
        return self._storage

    @property
    def _notes(self) -> str:
        return f"{folder_of(self.dataset)}/_unfinished/{self.key}"

    @cached_property
    def _last_landed(self) -> dict[str, LandedFile]:
        manifests = manifests_of(self._storage, self.dataset)
        return {file.source: file for manifest in manifests for file in manifest.files}

    def _is_unchanged(self, before: LandedFile, read: Opener, version: str | None) -> bool:
        """Whether the source still has the bytes that were landed before, and the lake does too."""
        if version is not None and version == before.version:
            return self.is_intact(before)
        with read() as stream:
            now = measure(stream)
        return now == (before.size, before.sha256) and self.is_intact(before)

    def _copy(
        self, name: str, read: Opener, check: Check, split: Split, partition: str | None
    ) -> tuple[str, int, str, tuple[Piece, ...]]:
        folder = folder_of(self.dataset) + (f"/partition={partition}" if partition else "")
        with self._storage.new_file(folder) as new:
            with read() as stream:
                received = Received(stream, new)
                pieces = split(cast(BinaryIO, received))
                received.drain()
            with new.reading() as whole:
                pieces = check(whole) or pieces
            path = f"{folder}/{received.sha256[:NAME_DIGITS]}-{safe_name(name)}"
            # The name holds the checksum: what is there has the same bytes, or was damaged and is healed.
            new.publish(path)
        return path, received.size, received.sha256, pieces


def _replaced(before: Manifest | None, files: Sequence[LandedFile]) -> tuple[str, ...]:
    """What an earlier landing has left, on which published rows may rest still."""
    if before is None:
        return ()
    own = {file.path for file in files}
    return tuple(path for path in dict.fromkeys([*before.replaced, *before.paths]) if path not in own)


def _status(before: LandedFile | None, digest: str) -> Status:
    if before is None:
        return "new"
    return "unchanged" if before.sha256 == digest else "changed"


def in_memory(content: bytes) -> Opener:
    """An opener of bytes already received."""
    return lambda: io.BytesIO(content)
