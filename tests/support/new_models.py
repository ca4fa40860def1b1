"""A project with a published dataset `notes`, for models that `make new` writes."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import CommitProperties, write_deltalake

from millstream import models, transforms
from tests.support.ledger_tables import account

NOTES = """
source: {kind: files, connection: drop, format: jsonl, path: notes.jsonl}
primary_key: [note]
columns:
  - {name: note, type: int}
  - {name: words}
  - {name: shelf}
  - {name: state}
  - {name: volume, type: double}
  - {name: pages, type: int}
  - {name: grade, type: smallint}
  - {name: read, type: smallint}
  - {name: written, type: date}
"""
SHELVES = ("it's tall", "low", "wide")


def notes(count: int) -> pa.Table:
    """Notes of which the shelf and the volume follow from the words and pages."""
    numbers = range(count)
    return pa.table(
        {
            "note": pa.array(numbers, pa.int32()),
            "words": [f"{SHELVES[number % 3]} word{number % 7}" for number in numbers],
            "shelf": [SHELVES[number % 3] if number else "lost" for number in numbers],
            "state": [None if number < 10 else ("new", "old")[number % 3 > 0] for number in numbers],
            "volume": [float(number % 50 * 2 + number % 3) for number in numbers],
            "pages": pa.array([number % 50 for number in numbers], pa.int32()),
            "grade": pa.array([number % 4 for number in numbers], pa.int16()),
            "read": pa.array([number % 2 for number in numbers], pa.int16()),
            "written": pa.nulls(count, pa.date32()),
            "_source_row_id": [f"notes.jsonl#{number}" for number in numbers],
        }
    )


def publish_notes(lake_root: str, count: int) -> None:
    """Publish them as `silver.notes`."""
    entry = account("silver.notes", "r1", read=count)
    properties = CommitProperties(custom_metadata={"userMetadata": entry.model_dump_json()})
    write_deltalake(f"{lake_root}/silver/notes", notes(count), commit_properties=properties)


@contextmanager
def project_of_notes(folder: Path, monkeypatch: pytest.MonkeyPatch, model: str) -> Iterator[Path]:
    """The project `folder` with the contract of notes, whose models and transforms are those of this process;
    `model` is forgotten afterwards."""
    (folder / "dags" / "datasets").mkdir(parents=True)
    (folder / "dags" / "datasets" / "notes.yaml").write_text(NOTES)
    monkeypatch.setenv("MILLSTREAM_PROJECT", str(folder))
    for package in (models, transforms):
        own = folder / package.__name__.rpartition(".")[2]
        own.mkdir()
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(own)])
    # Python remembers which files a folder had.
    importlib.invalidate_caches()
    yield folder
    for name in (f"millstream.models.{model}", f"millstream.transforms.{model}_predictions"):
        sys.modules.pop(name, None)
