"""What has to be said of a file beside its format: guessed from its beginning, for the format's options."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from defusedxml.ElementTree import iterparse

from millstream.errors import SourceDataError
from millstream.formats.archives import PACKINGS
from millstream.formats.registry import format_named

HEAD_BYTES = 1 << 16
# Lines above a table's names.
MOST_ABOVE = 20
DELIMITERS = ",;\t|"
# The encodings that are tried: every byte is a character of the last one.
ENCODINGS = ("utf-8-sig", "cp1252", "latin-1")
NO_NAMES = "no line with names was seen: name the columns in header, and below as aliases"
NUMBER = re.compile(r"\s*[-+]?[\d.,]*\d\s*")


def options_of(path: Path, kind: str) -> tuple[dict[str, Any], list[str]]:
    """Entries of a contract's `source` for the file at `path`, of format `kind`, and what is not sure."""
    has = format_named(kind).options.model_fields
    with opened(path, kind) as content:
        if "row_tag" in has:
            return {"row_tag": _first_child(content, path)}, []
        if "records" in has:
            return _records(json.loads(content.read())), []
        if "delimiter" in has:
            return _dialect(content.read(HEAD_BYTES))
    return {}, []


@contextmanager
def opened(path: Path, kind: str) -> Iterator[IO[bytes]]:
    """The content of the file, unpacked where its format says that it is packed."""
    packing = kind.partition(".")[2]
    with path.open("rb") as stream:
        if not packing:
            yield stream
            return
        with PACKINGS[packing](stream, False) as content:
            yield content


def _first_child(content: IO[bytes], path: Path) -> str:
    """The first element below the root, by its local name."""
    depth = 0
    for event, element in iterparse(content, events=("start", "end")):
        depth += 1 if event == "start" else -1
        if depth == 2:
            return re.sub(r"^\{.*\}", "", element.tag)
    raise SourceDataError(f"{path} has no element below its root")


def _records(document: Any) -> dict[str, Any]:
    """Where the list of objects is, the first one that is met."""
    if isinstance(document, dict):
        for name, value in document.items():
            if isinstance(value, list) and any(isinstance(one, dict) for one in value):
                return {"records": name}
        for name, value in document.items():
            if deeper := _records(value):
                return {"records": f"{name}.{deeper['records']}"}
    return {}


def _dialect(head: bytes) -> tuple[dict[str, Any], list[str]]:
    options: dict[str, Any] = {}
    notes: list[str] = []
    encoding, text = _decoded(head)
    if encoding != ENCODINGS[0]:
        options["encoding"] = encoding
        notes.append(f"not UTF-8: {encoding} is a guess, look at letters with accents")
    lines = text.splitlines()
    if len(head) == HEAD_BYTES:
        del lines[-1:]
    if lines and lines[0].startswith("#"):
        options["comment"] = "#"
        lines = [line for line in lines if not line.startswith("#")]
    if skipped := _lines_above(lines):
        options["skip_lines"] = skipped
        notes.append(f"skipped above the names: {' / '.join(line.strip() for line in lines[:skipped])[:80]}")
        lines = lines[skipped:]
    lines = [line for line in lines if line.strip()][:20]
    if not lines:
        return options, notes
    delimiter = max(DELIMITERS, key=lines[0].count)
    if lines[0].count(delimiter) and delimiter != ",":
        options["delimiter"] = delimiter
    if lines[0].count(delimiter) and all(line.endswith(delimiter) for line in lines):
        options["trailing_delimiter"] = True
        lines = [line.removesuffix(delimiter) for line in lines]
    rows = list(csv.reader(lines, delimiter=delimiter))
    if len(rows) > 1 and _shape(rows[0]) == _shape(rows[1]) and True in _shape(rows[0]):
        options["header"] = [f"c{number}" for number in range(1, len(rows[0]) + 1)]
        notes.append(NO_NAMES)
    return options, notes


def _lines_above(lines: list[str]) -> int:
    """How many lines stand above the table, such as a title: those without a delimiter, above three lines
    with the same two or more, of which the first has no number; 0 where that is no clear case."""
    for delimiter in DELIMITERS:
        counts = [line.count(delimiter) for line in lines[: MOST_ABOVE + 3]]
        first = next((place for place, count in enumerate(counts) if count), 0)
        fields = counts[first : first + 3]
        alike = len(fields) == 3 and len(set(fields)) == 1 and fields[0] >= 2
        if first and alike and True not in _shape(lines[first].split(delimiter)):
            return first
    return 0


def _decoded(head: bytes) -> tuple[str, str]:
    for encoding in ENCODINGS:
        try:
            # The last character may have been cut.
            return encoding, head.decode(encoding) if len(head) < HEAD_BYTES else _whole(head, encoding)
        except UnicodeDecodeError:
            continue
    raise AssertionError("latin-1 reads everything")


def _whole(head: bytes, encoding: str) -> str:
    return head[: head.rindex(b"\n") + 1 if b"\n" in head else len(head)].decode(encoding)


def _shape(row: list[str]) -> list[bool]:
    """For each field whether it is a number."""
    return [NUMBER.fullmatch(field) is not None for field in row]
