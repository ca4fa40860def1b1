"""Which files have come to a source that no run has landed as they are."""

from __future__ import annotations

from datetime import UTC, datetime

from millstream.contracts.contract import Contract
from millstream.lake.storage import Storage
from millstream.landing.manifest import LandedFile, manifests_of
from millstream.sources.files import FilesExtractor, SourceFile
from millstream.sources.places import Found


class Arrivals:
    """Looks at a source again and again. A file is an arrival once, however often it is there.

    What was there before the first look is an arrival if it has not landed: all that must be known lies in
    landing, and whoever looks may be started anew at any time.
    """

    def __init__(self) -> None:
        self._known: dict[str, Found] = {}

    def look(self, contract: Contract, extractor: FilesExtractor, storage: Storage) -> list[SourceFile]:
        """New and changed files since the last look that no run has landed, of the contract's periods.

        Files that may be written still are none yet. Raises what the source's place and the lake's storage
        raise; the next look finds the same files then.
        """
        settled = extractor.settled()
        if contract.partition:
            available = set(contract.periods_at(datetime.now(UTC)))
            settled = [(file, period) for file, period in settled if period in available]
        fresh = [(file, period) for file, period in settled if self._known.get(file.path) != file]
        # Of a source at rest a look is one listing.
        landed = _last_landed(contract, storage) if fresh else {}
        self._known = {file.path: file for file, _ in settled}
        return [
            SourceFile(path=file.path, partition=period)
            for file, period in fresh
            if not _is_as_landed(file, extractor.version(file), landed.get(file.path))
        ]


def _last_landed(contract: Contract, storage: Storage) -> dict[str, LandedFile]:
    """The files of which the table consists, as they were landed last, by their source."""
    files: dict[str, LandedFile] = {}
    for manifest in manifests_of(storage, contract.dataset):
        # What such a run did not find is no longer of the table, and new when it is back.
        if contract.load != "append":
            files = {name: file for name, file in files.items() if _stays(file, manifest.partitions)}
        files |= {file.source: file for file in manifest.files}
    return files


def _stays(file: LandedFile, replaced: tuple[str, ...]) -> bool:
    return file.partition is not None and file.partition not in replaced


def _is_as_landed(found: Found, version: str | None, landed: LandedFile | None) -> bool:
    if landed is None:
        return False
    if version is not None and landed.version is not None:
        return version == landed.version
    return (found.size, found.modified) == (landed.size, landed.modified)
