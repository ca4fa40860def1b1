"""Each format that there is against each way in which a file can be wrong: refused with its name and what to
do, or the row apart. A new format fails here until it is among the samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import pyarrow as pa
import pytest

from millstream.bronze.decoding import decoded
from millstream.bronze.parts import parts_of
from millstream.contracts.contract import Contract
from millstream.errors import REMEDY, SourceDataError
from millstream.formats.registry import plain_formats
from millstream.lake.storage import Storage
from millstream.landing.run import Landing
from millstream.sources.files import FilesExtractor
from tests.unit.test_formats import parquet_of
from tests.unit.test_packed import avro_file
from tests.unit.test_several_files import orc_of
from tests.unit.test_workbooks import workbook

IDS = [str(number) for number in range(2000)]
NAMES = [f"the name of ä {number}" for number in range(2000)]
PNG = (Path(mpl.get_data_path()) / "images" / "home.png").read_bytes()
TABLE = {"id": IDS, "name": NAMES}
LINES = "".join(f'{{"id": "{one}", "name": "{name}"}}\n' for one, name in zip(IDS, NAMES, strict=True))
SAMPLES: dict[str, bytes] = {
    "avro": avro_file(),
    "binary": PNG,
    "csv": "".join(
        f"{one},{name}\n" for one, name in [("id", "name"), *zip(IDS, NAMES, strict=True)]
    ).encode(),
    "json": f"[{LINES.strip().replace(chr(10), ',')}]".encode(),
    "jsonl": LINES.encode(),
    "orc": orc_of(TABLE),
    "parquet": parquet_of({name: pa.array(values) for name, values in TABLE.items()}),
    "xlsx": workbook(sheet=[["id", "name"], *map(list, zip(IDS, NAMES, strict=True))]),
    "xml": "<all>{}</all>".format(
        "".join(f"<row><id>{one}</id><name>{name}</name></row>" for one, name in zip(IDS, NAMES, strict=True))
    ).encode(),
}
each_format = pytest.mark.parametrize("name", sorted(SAMPLES))


def test_every_format_has_a_sample() -> None:
    assert SAMPLES.keys() == plain_formats().keys()


def landed(name: str, content: bytes, folder: Path) -> list[dict[str, Any]]:
    """The rows of a file `source` of the format, as bronze would have them."""
    more = {"row_tag": "row"} if name == "xml" else {}
    source = {"kind": "files", "connection": "drop", "format": name, "path": "source", **more}
    columns = (
        {} if name == "binary" else {"columns": [{"name": "id"}, {"name": "name"}], "primary_key": ["id"]}
    )
    contract = Contract.from_dict({"dataset": "things", "source": source, **columns}, origin="things.yaml")
    (folder / "source").write_bytes(content)
    landing = Landing(Storage(f"file://{folder}/lake"), "things", "1")
    extractor = FilesExtractor(contract, folder)
    (piece,) = extractor.plan([])
    manifest = landing.commit([], extractor.fetch(piece, landing))
    batches = decoded(contract, f"file://{folder}/lake", parts_of(manifest.files))
    return [row for batch in batches for row in batch.to_pylist()]


def refusal(name: str, content: bytes, folder: Path) -> str:
    with pytest.raises(SourceDataError) as refused:
        landed(name, content, folder)
    assert not [path for path in (folder / "lake").rglob("*") if path.is_file()]
    message = str(refused.value)
    assert message.startswith(f"{folder}/source ")
    assert REMEDY in message
    return message


@each_format
def test_a_good_file_has_no_row_apart(name: str, tmp_path: Path) -> None:
    rows = landed(name, SAMPLES[name], tmp_path)
    assert rows
    assert [row["_record_error"] for row in rows if row["_record_error"]] == []


@each_format
def test_an_empty_file_is_refused(name: str, tmp_path: Path) -> None:
    assert "is empty (0 bytes)" in refusal(name, b"", tmp_path)


@each_format
def test_a_file_of_another_kind_is_refused(name: str, tmp_path: Path) -> None:
    if name == "binary":
        (row,) = landed(name, b"<!DOCTYPE html><title>Log in</title>", tmp_path)
        assert row["media_type"] == "text/html"
        return
    refusal(name, PNG, tmp_path)
    refusal(name, b"<!DOCTYPE html><title>Log in</title>", tmp_path)


@each_format
def test_a_file_that_was_cut_off_is_refused_or_its_last_row_is_apart(name: str, tmp_path: Path) -> None:
    content = SAMPLES[name]
    cut = content[: len(content) // 2 - 1]
    if name in ("csv", "jsonl"):
        # In the midst of a line.
        cut = content[: content.index(b"\n", len(content) // 2) + 4]
        *good, last = landed(name, cut, tmp_path)
        assert [row["_record_error"] for row in good if row["_record_error"]] == []
        assert last["_record_error"] or last["name"] is None
    elif name == "binary":
        # What a file is, its size and checksum say.
        (row,) = landed(name, cut, tmp_path)
        assert row["size_bytes"] == str(len(cut))
    else:
        refusal(name, cut, tmp_path)


# Whether the file says itself how it is written; if not, it is refused or each row is apart.
@pytest.mark.parametrize(
    ("name", "encoding", "outcome"),
    [
        ("csv", "utf-16", "refused"),
        ("jsonl", "utf-16", "refused"),
        ("json", "utf-16", "read"),
        ("xml", "utf-16", "read"),
        ("csv", "cp1252", "apart"),
        ("jsonl", "cp1252", "refused"),
        ("json", "cp1252", "refused"),
        ("xml", "cp1252", "refused"),
    ],
)
def test_text_in_another_encoding_is_never_read_as_other_letters(
    name: str, encoding: str, outcome: str, tmp_path: Path
) -> None:
    content = SAMPLES[name].decode().encode(encoding)
    if outcome == "refused":
        refusal(name, content, tmp_path)
        return
    rows = landed(name, content, tmp_path)
    if outcome == "read":
        assert [row["name"] for row in rows] == NAMES
    else:
        assert all(row["_record_error"] for row in rows)
