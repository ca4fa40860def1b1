"""Publishes a source completely or not at all, and again only if its origin has changed."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

JOURNAL = ".published.json"


@dataclass(frozen=True)
class Publication:
    """One source. `fingerprint` names the origin's state and the code's version; `publish` writes into the
    data folder and returns how many rows it wrote; `outputs` are the paths that must exist afterwards."""

    name: str
    fingerprint: Callable[[], str]
    outputs: tuple[str, ...]
    publish: Callable[[Path], int]


def prepare(data: Path, publications: tuple[Publication, ...]) -> Iterator[str]:
    """Publish what is missing or out of date below `data`; yields a line of report as each is done."""
    data.mkdir(parents=True, exist_ok=True)
    with FileLock(data / ".lock"):
        yield from _publish_missing(data, publications)


def _publish_missing(data: Path, publications: tuple[Publication, ...]) -> Iterator[str]:
    journal = _read_journal(data)
    for publication in publications:
        fingerprint = publication.fingerprint()
        present = all((data / output).exists() for output in publication.outputs)
        if present and journal.get(publication.name) == fingerprint:
            yield f"{publication.name}: up to date"
            continue
        started = time.monotonic()
        count = publication.publish(data)
        journal[publication.name] = fingerprint
        _write_journal(data, journal)
        yield f"{publication.name}: {count:,} rows in {time.monotonic() - started:.1f} s"


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """A path to write to; it becomes `target` when the block ends well, and disappears otherwise.

    What a killed process left is deleted: `prepare` lets one process publish at a time.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.part")
    unfinished.unlink(missing_ok=True)
    try:
        yield unfinished
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)


def _read_journal(data: Path) -> dict[str, str]:
    try:
        return dict(json.loads((data / JOURNAL).read_text(encoding="utf-8")))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}  # a lost journal costs one more publication, nothing else


def _write_journal(data: Path, journal: dict[str, str]) -> None:
    with whole_file(data / JOURNAL) as path:
        path.write_text(json.dumps(journal, indent=2, sort_keys=True), encoding="utf-8")
