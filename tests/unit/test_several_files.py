"""Several files of formats with types of their own: another schema in the second, and one gone meanwhile."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pytest
from pyarrow import orc

from millstream.bronze.decoding import decoded
from millstream.bronze.loads import check_landed_columns
from millstream.bronze.parts import parts_of
from millstream.contracts.contract import Contract
from millstream.errors import ClusterError, SchemaDriftError, SourceDataError
from millstream.lake.storage import Storage
from millstream.landing.manifest import Manifest, read_manifest
from millstream.landing.run import Landing
from millstream.sources.files import FilesExtractor
from tests.unit.test_formats import parquet_of
from tests.unit.test_workbooks import workbook

Columns = dict[str, list[Any]]


def orc_of(columns: Columns) -> bytes:
    stream = io.BytesIO()
    orc.write_table(pa.table(columns), stream)
    return stream.getvalue()


def avro_of(columns: Columns) -> bytes:
    kinds = {int: "long", str: "string"}
    fields = [{"name": name, "type": kinds[type(values[0])]} for name, values in columns.items()]
    stream = io.BytesIO()
    records = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    fastavro.writer(stream, {"type": "record", "name": "thing", "fields": fields}, records)
    return stream.getvalue()


WRITE: dict[str, Callable[[Columns], bytes]] = {
    "parquet": lambda columns: parquet_of({name: pa.array(values) for name, values in columns.items()}),
    "orc": orc_of,
    "avro": avro_of,
    "xlsx": lambda columns: workbook(sheet=[[*columns], *map(list, zip(*columns.values(), strict=True))]),
}
FIRST: Columns = {"id": [1, 2], "name": ["one", "two"]}
each_format = pytest.mark.parametrize("file_format", list(WRITE))


class Drop:
    """A folder with files `a` and `b`, of which a run lands both."""

    def __init__(self, folder: Path, file_format: str, second: Columns) -> None:
        self.root = f"file://{folder}/lake"
        self.landing = Landing(Storage(self.root), "things", "1")
        self.lake = folder / "lake"
        self.drop = folder / "drop"
        self.drop.mkdir()
        for name, columns in (("a", FIRST), ("b", second)):
            path = self.drop / f"{name}.{file_format}"
            path.write_bytes(WRITE[file_format](columns))
            os.utime(path, (1, 1))
        columns_wanted = [{"name": name, "nullable": name != "id"} for name in FIRST]
        path = f"*.{file_format}"
        self.contract = Contract.from_dict(
            {
                "dataset": "things",
                "source": {"kind": "files", "connection": "drop", "format": file_format, "path": path},
                "columns": columns_wanted,
                "primary_key": ["id"],
            },
            origin="things.yaml",
        )
        self.extractor = FilesExtractor(self.contract, self.drop)
        (self.piece,) = self.extractor.plan([])

    def land(self) -> Manifest:
        return self.landing.commit([], self.extractor.fetch(self.piece, self.landing))

    def rows(self, manifest: Manifest) -> list[dict[str, Any]]:
        batches = decoded(self.contract, self.root, parts_of(manifest.files))
        return [
            row for batch in batches for row in batch.select([*FIRST, "_added", "_record_error"]).to_pylist()
        ]


@each_format
def test_a_column_that_the_second_file_lacks_is_told_with_that_file(file_format: str, tmp_path: Path) -> None:
    drop = Drop(tmp_path, file_format, {"id": [3], "title": ["three"]})
    manifest = drop.land()
    with pytest.raises(SchemaDriftError) as refused:
        check_landed_columns(drop.root, drop.contract, manifest)
    message = str(refused.value)
    assert f"-b.{file_format}" in message
    assert "column removed at the source: name; " in message
    assert "found id, title. Nothing was loaded" in message


@each_format
def test_another_order_a_column_more_and_another_type_in_the_second_file_are_read(
    file_format: str, tmp_path: Path
) -> None:
    drop = Drop(tmp_path, file_format, {"name": ["three"], "more": ["x"], "id": ["3"]})
    manifest = drop.land()
    (change,) = check_landed_columns(drop.root, drop.contract, manifest)
    assert (change.kind, change.column) == ("added", "more")
    good = {"_record_error": None}
    assert drop.rows(manifest) == [
        {"id": "1", "name": "one", "_added": None, **good},
        {"id": "2", "name": "two", "_added": None, **good},
        {"id": "3", "name": "three", "_added": '{"more": "x"}', **good},
    ]


@each_format
def test_a_file_that_is_gone_since_it_was_listed_is_named_and_none_is_landed(
    file_format: str, tmp_path: Path
) -> None:
    drop = Drop(tmp_path, file_format, FIRST)
    (drop.drop / f"b.{file_format}").unlink()
    with pytest.raises(SourceDataError, match=rf"drop/b\.{file_format}: not there"):
        drop.land()
    with pytest.raises(SourceDataError, match="things"):
        read_manifest(Storage(drop.root), "things", "1")


@each_format
def test_a_landed_file_that_is_gone_or_cut_off_is_named(file_format: str, tmp_path: Path) -> None:
    drop = Drop(tmp_path, file_format, FIRST)
    manifest = drop.land()
    landed = drop.lake / next(path for path in manifest.paths if path.endswith(f"-b.{file_format}"))
    landed.write_bytes(landed.read_bytes()[:-30])
    with pytest.raises(
        SourceDataError, match=rf"-b\.{file_format} is not a readable .* clear the run from plan"
    ):
        drop.rows(manifest)
    landed.unlink()
    with pytest.raises(ClusterError, match=rf"the lake's storage failed at .*-b\.{file_format}"):
        drop.rows(manifest)
