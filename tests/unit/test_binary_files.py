"""Files that are no tables: landed as they are, and a record about each."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

from millstream.bronze.decoding import decoded
from millstream.bronze.loads import check_landed_columns
from millstream.bronze.parts import parts_of
from millstream.contracts.contract import Contract
from millstream.errors import ContractError, SourceDataError
from millstream.file_kinds import media_type
from millstream.lake.storage import Storage
from millstream.landing.manifest import Manifest
from millstream.landing.run import Landing
from millstream.sources.files import FilesExtractor

# Images and PDFs that others have made.
IMAGES = Path(mpl.get_data_path()) / "images"
CHANGED = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


def contract(**fields: Any) -> Contract:
    source = {"kind": "files", "connection": "drop", "format": "binary", "path": "**/*"}
    return Contract.from_dict({"dataset": "scans", "source": source, **fields}, origin="scans.yaml")


class Drop:
    """A folder whose files a run lands."""

    def __init__(self, folder: Path, of: Contract) -> None:
        self.folder = folder / "drop"
        self.folder.mkdir()
        self.contract = of
        self.root = f"file://{folder}/lake"
        self.lake = folder / "lake"

    def put(self, name: str, file: Path | bytes) -> bytes:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        content = file.read_bytes() if isinstance(file, Path) else file
        path.write_bytes(content)
        os.utime(path, (CHANGED.timestamp(), CHANGED.timestamp()))
        return content

    def land(self, run: str = "1") -> Manifest:
        landing = Landing(Storage(self.root), self.contract.dataset, run)
        extractor = FilesExtractor(self.contract, self.folder)
        files = [file for piece in extractor.plan([]) for file in extractor.fetch(piece, landing)]
        return landing.commit([], files)

    def records(self, manifest: Manifest) -> list[dict[str, Any]]:
        check_landed_columns(self.root, self.contract, manifest)
        batches = decoded(self.contract, self.root, parts_of(manifest.files))
        return [row for batch in batches for row in batch.to_pylist()]


def test_a_record_tells_of_each_file_and_its_bytes_lie_in_the_lake(tmp_path: Path) -> None:
    drop = Drop(tmp_path, contract())
    given = {name: drop.put(f"a/{name}", IMAGES / name) for name in ("home.png", "home.pdf", "home.svg")}
    rows = {row["path"]: row for row in drop.records(drop.land())}
    assert {path: row["media_type"] for path, row in rows.items()} == {
        "a/home.png": "image/png",
        "a/home.pdf": "application/pdf",
        "a/home.svg": "image/svg+xml",
    }
    for name, content in given.items():
        row = rows[f"a/{name}"]
        assert (row["size_bytes"], row["sha256"]) == (str(len(content)), hashlib.sha256(content).hexdigest())
        assert datetime.fromisoformat(row["modified_at"]) == CHANGED
        assert (drop.lake / row["landed_path"]).read_bytes() == content
        assert (row["_record_error"], row["_added"]) == (None, None)


def test_two_files_with_the_same_name_and_bytes_are_two_rows(tmp_path: Path) -> None:
    drop = Drop(tmp_path, contract())
    for folder in ("a", "b"):
        drop.put(f"{folder}/home.png", IMAGES / "home.png")
    rows = drop.records(drop.land())
    assert {row["path"] for row in rows} == {"a/home.png", "b/home.png"}
    assert len({(row["_source_file"], row["_source_row"]) for row in rows}) == 2


def test_what_is_unchanged_is_not_landed_again(tmp_path: Path) -> None:
    drop = Drop(tmp_path, contract())
    drop.put("a/home.png", IMAGES / "home.png")
    first = drop.land("1")
    drop.put("a/home.pdf", IMAGES / "home.pdf")
    second = drop.land("2")
    assert [(file.source, file.status) for file in second.files] == [
        ("a/home.pdf", "new"),
        ("a/home.png", "unchanged"),
    ]
    assert first.paths[0] in second.paths


def test_a_contract_may_take_some_of_the_columns_by_other_names(tmp_path: Path) -> None:
    columns = [
        {"name": "file", "aliases": ["path"]},
        {"name": "media_type", "categories": ["image/png"]},
    ]
    of = contract(columns=columns, primary_key=["file"])
    drop = Drop(tmp_path, of)
    drop.put("a/home.png", IMAGES / "home.png")
    (row,) = drop.records(drop.land())
    assert (row["file"], row["media_type"], row["_added"]) == ("a/home.png", "image/png", None)


def test_what_no_file_has_is_refused(tmp_path: Path) -> None:
    columns = [{"name": "path"}, {"name": "pages"}]
    with pytest.raises(ContractError, match=r"columns: pages: of a file of format binary there are path, "):
        contract(columns=columns, primary_key=["path"])


def test_an_empty_file_is_told_and_nothing_is_landed(tmp_path: Path) -> None:
    drop = Drop(tmp_path, contract())
    drop.put("a/home.png", IMAGES / "home.png")
    drop.put("a/scan.pdf", b"")
    with pytest.raises(SourceDataError, match=r"a/scan\.pdf is empty \(0 bytes\)"):
        drop.land()


@pytest.mark.parametrize(
    ("head", "named", "expected"),
    [
        (b"<!DOCTYPE html><title>Log in</title>", "application/pdf", "text/html"),
        (b"%PDF-1.7", "image/png", "application/pdf"),
        (b"PK\x03\x04", "application/vnd.oasis.opendocument.text", "application/vnd.oasis.opendocument.text"),
        (b"PK\x03\x04", None, "application/zip"),
        (b"RIFF\x10\x00\x00\x00WEBPVP8 ", None, "image/webp"),
        (b"RIFF\x10\x00\x00\x00????", "audio/x", "audio/x"),
        (b"a,b\n1,2\n", "text/csv", "text/csv"),
        (b"\x00\x01", None, None),
    ],
)
def test_the_first_bytes_say_more_than_the_name(head: bytes, named: str | None, expected: str | None) -> None:
    assert media_type(head, named) == expected


def test_each_image_of_a_library_is_what_its_name_says() -> None:
    shown = {"png": "image/png", "pdf": "application/pdf", "svg": None}
    found = [path for path in sorted(IMAGES.iterdir()) if path.suffix[1:] in shown]
    assert len(found) > 40
    told = {path.name: media_type(path.read_bytes(), None) for path in found}
    assert told == {path.name: shown[path.suffix[1:]] for path in found}
