"""The digest of a stored model: any change of a file shows, nothing else does."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from millstream.errors import ArtifactDigestError
from millstream.lake.storage import Storage, local_uri
from millstream.ml.digest import TAG, require_registered, tree_digest

FILES = {
    "metadata/part-00000": b'{"class":"PipelineModel"}',
    "stages/0_a/data.parquet": b"PAR1\x00",
    "x": b"",
}


def at(folder: Path) -> tuple[Storage, str]:
    return Storage(local_uri(folder.parent)), folder.name


def write(folder: Path, files: dict[str, bytes] = FILES) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_a_copy_has_the_same_digest_whatever_its_place_and_times(tmp_path: Path) -> None:
    original = write(tmp_path / "one")
    copy = write(tmp_path / "two", dict(reversed(FILES.items())))
    os.utime(copy / "x", (0, 0))
    (copy / "empty").mkdir()

    assert tree_digest(*at(copy)) == tree_digest(*at(original))
    require_registered(*at(copy), {TAG: tree_digest(*at(original))}, "arrival_delay version 1")


def test_a_folder_of_any_name_is_found(tmp_path: Path) -> None:
    plain, other = write(tmp_path / "plain"), write(tmp_path / "proj@2 é+~" / "model")

    assert tree_digest(*at(other)) == tree_digest(*at(plain))
    Storage(local_uri(other)).write("x", b"written")
    assert (other / "x").read_bytes() == b"written"


def flip_a_bit(folder: Path) -> None:
    path = folder / "stages/0_a/data.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")


def swap_two_contents(folder: Path) -> None:
    first, second = folder / "metadata/part-00000", folder / "stages/0_a/data.parquet"
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)


def rename(folder: Path) -> None:
    (folder / "x").rename(folder / "y")


def add_an_empty_file(folder: Path) -> None:
    (folder / "z").touch()


def remove(folder: Path) -> None:
    (folder / "x").unlink()


@pytest.mark.parametrize("tamper", [flip_a_bit, swap_two_contents, rename, add_an_empty_file, remove])
def test_a_changed_model_is_refused(tmp_path: Path, tamper: Callable[[Path], None]) -> None:
    folder = write(tmp_path)
    registered = {TAG: tree_digest(*at(folder))}
    tamper(folder)

    with pytest.raises(ArtifactDigestError, match=r"arrival_delay version 1: its files .* are not served"):
        require_registered(*at(folder), registered, "arrival_delay version 1")


def test_a_model_without_a_digest_or_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactDigestError, match="no tag artifact_sha256"):
        require_registered(*at(write(tmp_path / "model")), {}, "arrival_delay version 1")
    (tmp_path / "none").mkdir()
    with pytest.raises(ArtifactDigestError, match="no file"):
        require_registered(*at(tmp_path / "none"), {TAG: "00"}, "arrival_delay version 1")
