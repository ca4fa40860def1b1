"""A look at files of any place that contracts read: a folder, a pattern, an address, what a connection has.

The newest file is looked at, and of several the columns of the first one beside it. What a look reads is
copied to this machine: of lines of text no more than `SAMPLE_BYTES`, of other formats all.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from millstream.errors import ConfigurationError, SourceDataError
from millstream.sources.files import FilesExtractor
from millstream.sources.places import Found, Place
from millstream_stack.commands.new import looks
from millstream_stack.commands.new.looks import Look

SAMPLE_BYTES = 1 << 26
CHUNK_BYTES = 1 << 20
# Formats of which a part can be read, in whole lines.
LINES = ("csv", "jsonl")
OLDEST = datetime.min.replace(tzinfo=UTC)


def at_place(
    place: Place,
    connection: str,
    path: str,
    limit: int | None = looks.SAMPLE_ROWS,
    columns: Sequence[str] = (),
) -> Look:
    """A look at what `path` stands for below the folder of `connection`: a file, a pattern, or a folder (all
    its files of the format that most of them have). `limit` and `columns` as of `looks.at_file`.

    Raises: ConfigurationError when nothing is there, or no format is known by its name, or the login is
        refused; SourceDataError when it cannot be read; SourceUnavailableError when the place is away.
    """
    pattern, found = _found(place, path)
    newest = max(found, key=lambda file: (file.modified or OLDEST, file.path))
    whole = limit is None
    look = _copied(place, newest, whole, limit, columns)
    notes = list(look.notes)
    if "*" in pattern:
        notes.append(f"{len(found)} files; looked at the newest, {newest.path}")
    first = min(found, key=lambda file: file.path)
    if first is not newest and not columns:
        notes += _differences(first.path, _copied(place, first, whole, limit, ()).names, look.names)
    source: dict[str, Any] = {**look.source, "connection": connection, "path": pattern}
    complete = look.complete and len(found) == 1 and (whole or (newest.size or 0) <= SAMPLE_BYTES)
    return replace(look, source=source, notes=tuple(notes), complete=complete)


def _found(place: Place, path: str) -> tuple[str, list[Found]]:
    """The pattern that a contract says, and the files that it stands for."""
    place.check()
    if "*" not in path and path and (one := place.find(path)):
        return path, [one]
    pattern = path
    if "*" not in path:
        if not place.has_listing:
            raise ConfigurationError(f"FROM: {place.where(path)} is not there")
        pattern = _of_folder(place, path.strip("/"))
    source = {"kind": "files", "connection": "look", "format": "csv", "path": pattern, "quiet_seconds": 0}
    contract = looks.contract_of(source, [])
    found = [file for file, _ in FilesExtractor(contract, place).settled()]
    if not found:
        raise ConfigurationError(f"FROM: no file matches {place.where(pattern)}")
    return pattern, found


def _of_folder(place: Place, folder: str) -> str:
    """The pattern of those files below a folder that have the commonest ending of a known format."""
    files = [PurePosixPath(file.path) for file in place.files(folder)]
    known = [(file, ending) for file in files if (ending := looks.ending_of(file.name))]
    if not known:
        raise ConfigurationError(
            f"FROM: {place.where(folder)}: no file there, and none below it, whose name says a known format: "
            f"{', '.join(looks.endings())}. {looks.NO_TABLES}"
        )
    ((ending, _),) = Counter(ending for _, ending in known).most_common(1)
    chosen = [file for file, own in known if own == ending]
    below = any(len(file.relative_to(folder).parts) > 1 if folder else len(file.parts) > 1 for file in chosen)
    return "/".join(filter(None, (folder, "**" if below else "", f"*.{ending}")))


def _copied(place: Place, file: Found, whole: bool, limit: int | None, columns: Sequence[str]) -> Look:
    name = PurePosixPath(file.path).name
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        with place.open(file.path) as stream, path.open("wb") as copy:
            if whole or looks.format_of_name(name) not in LINES or (file.size or 0) <= SAMPLE_BYTES:
                shutil.copyfileobj(stream, copy, CHUNK_BYTES)
            else:
                head = _head(stream)
                copy.write(head[: head.rfind(b"\n") + 1] or head)
        try:
            return looks.at_file(path, {"look": Path(folder)}, "look", limit, columns)
        except SourceDataError as error:
            raise SourceDataError(str(error).replace(str(path), place.where(file.path))) from error


def _head(stream: Any) -> bytes:
    chunks, size = [], 0
    while size < SAMPLE_BYTES and (chunk := stream.read(CHUNK_BYTES)):
        chunks.append(chunk)
        size += len(chunk)
    return b"".join(chunks)


def _differences(file: str, names: Sequence[str], others: Sequence[str]) -> list[str]:
    more, fewer = [one for one in names if one not in others], [one for one in others if one not in names]
    said = [f"has {', '.join(more)}"] if more else []
    said += [f"lacks {', '.join(fewer)}"] if fewer else []
    return [f"{file} {' and '.join(said)}"] if said else []
