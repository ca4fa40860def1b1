"""The search for secrets finds one in every kind of file that the stack writes; it needs no stack itself."""

from __future__ import annotations

import gzip
import io
import sqlite3
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from tests.support.canaries import files, found

SECRET = "vX3_kQ9-canary-7Lm2"
# Long enough to be cut into pages by SQLite, and repetitive enough to be packed away by all others.
TEXT = f"{'filling ' * 2000}{SECRET}{' filling' * 2000}"


def plain(path: Path) -> None:
    path.write_text(TEXT)


def gzipped(path: Path) -> None:
    path.write_bytes(gzip.compress(TEXT.encode()))


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("flights.csv", TEXT)


def zstandard_frames(path: Path) -> None:
    packer = zstandard.ZstdCompressor()
    path.write_bytes(packer.compress(b"an earlier frame") + packer.compress(TEXT.encode()))


def zstandard_unfinished(path: Path) -> None:
    target = io.BytesIO()
    writer = zstandard.ZstdCompressor().stream_writer(target, closefd=False)
    writer.write(TEXT.encode())
    writer.flush(zstandard.FLUSH_BLOCK)
    path.write_bytes(target.getvalue())


def parquet(path: Path) -> None:
    pq.write_table(pa.table({"value": [TEXT, TEXT], "nested": [{"a": [1]}, None]}), path, compression="zstd")


def sqlite(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE xcom (key TEXT, value JSON)")
        connection.execute("INSERT INTO xcom VALUES ('return_value', ?)", [TEXT])
        connection.commit()


@pytest.mark.parametrize(
    "write", [plain, gzipped, zipped, zstandard_frames, zstandard_unfinished, parquet, sqlite]
)
def test_a_secret_is_found_in(tmp_path: Path, write: Callable[[Path], None]) -> None:
    path = tmp_path / "folder" / "file"
    path.parent.mkdir()
    write(path)

    assert found(files(tmp_path), {"password": SECRET, "token": "another"}) == {("password", str(path))}
    assert found(files(path), {"password": SECRET}) == {("password", str(path))}
    assert found(files(tmp_path, without=path.parent), {"password": SECRET}) == set()


def test_a_secret_is_found_in_the_name_of_a_file(tmp_path: Path) -> None:
    (tmp_path / SECRET).touch()

    assert found(files(tmp_path), {"password": SECRET}) == {("password", str(tmp_path / SECRET))}
