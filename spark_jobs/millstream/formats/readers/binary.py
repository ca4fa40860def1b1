"""Files that are no tables, such as images and PDFs: each is one record, about the file."""

from __future__ import annotations

import json
import mimetypes
from typing import IO, Any

from millstream.file_kinds import HEAD_BYTES, media_type
from millstream.formats.format import Format
from millstream.formats.record import Delivered, Origin, Piece, Record, Rows, Wanted, layouts, named_record

UNKNOWN = "application/octet-stream"
# Python's own table: those of machines differ.
NAMED = mimetypes.MimeTypes(filenames=())
COLUMNS: tuple[dict[str, Any], ...] = (
    {"name": "path", "description": "Path of the file, below the connection's folder"},
    {"name": "size_bytes", "type": "bigint", "description": "Size of the file", "unit": "B"},
    {"name": "sha256", "description": "Checksum of the file: SHA-256, in hexadecimal digits"},
    {"name": "media_type", "description": "What its first bytes show it to be, or else its name"},
    {"name": "modified_at", "type": "timestamp", "description": "Last change of the file, as its place says"},
    {"name": "landed_path", "description": "Where its bytes lie, below the root of the lake"},
)
NAMES = [column["name"] for column in COLUMNS]


def delivered(stream: IO[bytes], contract: Wanted) -> Delivered:
    """Those of `COLUMNS` that the contract has."""
    return Delivered(_wanted(contract), {})


def has_records(stream: IO[bytes], contract: Wanted) -> bool:
    """There is one about each file."""
    return True


def rows(stream: IO[bytes], contract: Wanted, piece: Piece | None = None) -> Rows:
    """None: what a file is not, its bytes do not say. See `about`."""
    return iter(())


def about(stream: IO[bytes], contract: Wanted, origin: Origin) -> Record:
    """The record of the file that `stream` is. Its bytes stay where they have landed."""
    named, _ = NAMED.guess_type(origin.path, strict=False)
    values = {
        "path": origin.path,
        "size_bytes": str(origin.size),
        "sha256": origin.sha256,
        "media_type": media_type(stream.read(HEAD_BYTES), named) or UNKNOWN,
        "modified_at": origin.modified.isoformat() if origin.modified else None,
        "landed_path": origin.landed,
    }
    wanted = {name: values[name] for name in _wanted(contract)}
    return named_record(wanted, layouts(contract), lambda: json.dumps(values))


def _wanted(contract: Wanted) -> list[str]:
    return [name for name in contract.layout(NAMES).delivered if name is not None]


FORMAT = Format(
    "one about each file, of any kind: images, PDFs",
    delivered,
    has_records,
    rows,
    packable=False,
    nests=False,
    about=about,
    columns=COLUMNS,
)
