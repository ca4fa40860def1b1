"""Files that are not what their ending says: refused before anything lands, in words that name the cause."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from millstream.bronze.rows import delivered
from millstream.contracts.contract import Contract
from millstream.errors import SourceDataError
from millstream.formats.archives import unzipped
from millstream.formats.record import UnreadableError, is_unicode
from millstream.lake.storage import Storage
from millstream.landing.checks import check_file
from millstream.landing.run import Landing
from millstream.settings import CHECKOUT
from millstream.sources.files import FilesExtractor
from tests.support.decoding import records_of

DATASETS = CHECKOUT / "dags" / "datasets"
ROWS = 'faa,name,lat,lon,alt,tz,dst,tzone\nEWR,"Newark, Liberty",40.7,-74.2,18,-5,A,America/New_York\n'
OBJECT = '{"qualified_name": "a.b", "library": "a", "module": "a", "kind": "class", "docstring": "A."}\n'


def shipped(dataset: str, file_format: str, **changes: Any) -> Contract:
    """The contract that the DAGs use, for one file of another format."""
    data = Contract.load_file(DATASETS / f"{dataset}.yaml").model_dump(mode="json")
    source = {"kind": "files", "connection": "drop", "format": file_format, "path": "source"}
    row_tag = {"row_tag": "airport"} if file_format == "xml" else {}
    return Contract.from_dict({**data, "source": {**source, **row_tag}, **changes}, origin=dataset)


def land(contract: Contract, content: bytes, folder: Path) -> None:
    (folder / "source").write_bytes(content)
    landing = Landing(Storage(f"file://{folder}/lake"), contract.dataset, "1")
    extractor = FilesExtractor(contract, folder)
    (piece,) = extractor.plan([])
    landing.commit([], extractor.fetch(piece, landing))


def zipped(content: bytes, packing: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", packing) as archive:
        archive.writestr("airports.csv", content)
    return stream.getvalue()


def refusal(contract: Contract, content: bytes, folder: Path) -> str:
    """What is said behind the file's name, and before what to do."""
    with pytest.raises(SourceDataError) as refused:
        land(contract, content, folder)
    assert not [path for path in (folder / "lake").rglob("*") if path.is_file()]
    before, after = (
        f"{folder}/source ",
        ". Nothing was landed. What to do: ask the source's owner for the file again",
    )
    message = str(refused.value)
    message.encode()
    assert message.isprintable()
    assert message.startswith(before)
    return message.removeprefix(before).partition(after)[0]


CSV_ROWS = ROWS.encode()
WRONG_CSV = [
    (gzip.compress(CSV_ROWS, mtime=0), "is a gzip file, not CSV in UTF-8"),
    (zipped(CSV_ROWS), "is a zip file (Excel workbooks are such), not CSV in UTF-8"),
    (bz2.compress(CSV_ROWS), "is a bzip2 file, not CSV in UTF-8"),
    (lzma.compress(CSV_ROWS), "is an xz file, not CSV in UTF-8"),
    (ROWS.encode("utf-16"), "is text in UTF-16, not CSV in UTF-8"),
    (b"\xfe\xff" + ROWS.encode("utf-16-be"), "is text in UTF-16, not CSV in UTF-8"),
    (ROWS.encode("utf-16-le"), "is text in UTF-16, not CSV in UTF-8"),
    (ROWS.encode("utf-16-be"), "is text in UTF-16, not CSV in UTF-8"),
    (b" <!DOCTYPE html><title>Log in</title>", "is an HTML page, not CSV in UTF-8"),
    (b"<?xml version='1.0'?><airports/>", "is XML, not CSV in UTF-8"),
    (b"\n \r\n\t\n", "has no header: every line of it is blank"),
    (b"sep=;\r\n" + CSV_ROWS, "begins with a line for Excel (sep=;), where its header should be"),
    (
        ROWS.replace("name", "näme", 1).encode("cp1252"),
        "has a header that is not UTF-8: faa,n\\xe4me,lat,lon,alt,tz,dst,tzone. Is it in another encoding, "
        "such as Windows-1252? Save it as UTF-8, or name its encoding in the contract",
    ),
    (
        CSV_ROWS.replace(b"alt,", b"\x00,", 1),
        "has a header with zero bytes: faa,name,lat,lon,\\x00,tz,dst,tzone. It is not text in UTF-8",
    ),
    (CSV_ROWS.replace(b"alt,", b"lat,", 1), "has columns named twice: 'lat'"),
    (
        CSV_ROWS.replace(b"alt,", b"Lat,LAT,", 1),
        "has columns named twice: 'lat', 'Lat', 'LAT' (Spark takes no notice of case)",
    ),
    *(
        (
            CSV_ROWS.replace(b",", delimiter.encode()),
            f"has {named} between its columns: "
            f"{repr(f'faa{delimiter}name')[1:-1]}{repr(delimiter)[1:-1]}lat{repr(delimiter)[1:-1]}lon"
            f"{repr(delimiter)[1:-1]}alt{repr(delimiter)[1:-1]}tz{repr(delimiter)[1:-1]}dst"
            f"{repr(delimiter)[1:-1]}tzone. Is that its delimiter? The contract says ','",
        )
        for delimiter, named in ((";", "';'"), ("\t", "tabs"), ("|", "'|'"))
    ),
    (
        b'"faa";"name";"lat";"lon"\n"EWR";"Newark";1;2\n',
        'has \';\' between its columns: "faa";"name";"lat";"lon". Is that its delimiter? The contract says '
        "','",
    ),
]


@pytest.mark.parametrize("allow_empty", [False, True])
@pytest.mark.parametrize(("content", "expected"), WRONG_CSV)
def test_what_is_no_csv_is_said_so_packed_or_not(
    content: bytes, expected: str, allow_empty: bool, tmp_path: Path
) -> None:
    for file_format, packed in (("csv", content), ("csv.zip", zipped(content))):
        contract = shipped("airports", file_format, allow_empty=allow_empty)
        assert refusal(contract, packed, tmp_path) == expected


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + CSV_ROWS,
        b"\n\n" + CSV_ROWS.replace(b"\n", b"\r\n"),
        CSV_ROWS.replace(b"\n", b"\r"),
        CSV_ROWS.replace(b"Newark", b"\x00\xff"),
        CSV_ROWS.replace(b"tzone", "tzone,ключ;имя".encode(), 1),
    ],
)
def test_what_is_csv_is_landed(content: bytes, tmp_path: Path) -> None:
    land(shipped("airports", "csv"), content, tmp_path)
    land(shipped("airports", "csv.zip"), zipped(content), tmp_path)


def test_a_header_of_one_column_is_not_asked_about_its_delimiter(tmp_path: Path) -> None:
    """What drift says of it is right: no delimiter gives more of the contract's columns."""
    land(shipped("airports", "csv"), b"a;b\n1;2\n", tmp_path)


NEITHER = " File is not a zip file"


@pytest.mark.parametrize(
    ("dataset", "file_format", "content", "expected"),
    [
        ("airports", "csv.zip", CSV_ROWS, f"is not a readable zip file:{NEITHER}; it is plain text"),
        (
            "airports",
            "csv.zip",
            gzip.compress(CSV_ROWS, mtime=0),
            f"is not a readable zip file:{NEITHER}; it is a gzip file",
        ),
        (
            "airports",
            "csv.zip",
            ROWS.encode("utf-16"),
            f"is not a readable zip file:{NEITHER}; it is text in UTF-16",
        ),
        (
            "docstrings",
            "jsonl.gz",
            OBJECT.encode(),
            "is not a readable gzip file: Not a gzipped file (b'{\"'); it is plain text",
        ),
        (
            "docstrings",
            "jsonl.gz",
            zipped(OBJECT.encode()),
            "is not a readable gzip file: Not a gzipped file (b'PK'); it is a zip file (Excel workbooks are "
            "such)",
        ),
        (
            "docstrings",
            "jsonl.gz",
            gzip.compress(OBJECT.encode("utf-16"), mtime=0),
            "holds text in UTF-16, not JSON lines in UTF-8",
        ),
        (
            "docstrings",
            "jsonl.gz",
            gzip.compress(gzip.compress(OBJECT.encode(), mtime=0), mtime=0),
            "holds a gzip file, not JSON lines in UTF-8",
        ),
        (
            "docstrings",
            "jsonl.gz",
            gzip.compress(b'[\n{"qualified_name":\n"a"}\n]\n', mtime=0),
            "has no line that is a JSON object; the first is: [. Is it one JSON text over several lines? "
            "JSON lines have one record a line",
        ),
        (
            "airports",
            "xml",
            gzip.compress(b"<airports/>", mtime=0),
            "is not well-formed XML: not well-formed (invalid token): line 1, column 0; it is a gzip file",
        ),
        (
            "airports",
            "xml",
            b"<!doctype html><html><p>Log in<br></html>",
            "is not well-formed XML: syntax error: line 1, column 0; it is an HTML page",
        ),
        (
            "airports",
            "xml",
            b"<html><p>Log in</p><p>here</p></html>",
            "has no element <airport>, but 2 <p>, 1 <html>. Is row_tag right in the contract?",
        ),
        (
            "airports",
            "xml",
            b'<airports xmlns="urn:a"><Airport/></airports>',
            "has no element <airport>, but 1 <airports>, 1 <Airport>. Is row_tag right in the contract?",
        ),
        (
            "airports",
            "xml",
            b'<!DOCTYPE a [<!ENTITY b "x">]><airports><airport>&b;</airport></airports>',
            "declares the entity b, and entities are not read",
        ),
        (
            "airports",
            "xml",
            b"<airports><airport>" + b"<a>" * 2000 + b"</a>" * 2000 + b"</airport></airports>",
            "has elements nested deeper than 200 levels",
        ),
    ],
)
def test_what_is_not_of_its_format_is_refused_empty_or_not(
    dataset: str, file_format: str, content: bytes, expected: str, tmp_path: Path
) -> None:
    for allow_empty in (False, True):
        contract = shipped(dataset, file_format, allow_empty=allow_empty)
        assert refusal(contract, content, tmp_path) == expected


@pytest.mark.parametrize(
    ("dataset", "file_format", "content"),
    [
        ("airports", "csv", CSV_ROWS.splitlines()[0] + b"\n\n"),
        ("airports", "csv.zip", zipped(CSV_ROWS.splitlines()[0])),
        ("docstrings", "jsonl.gz", gzip.compress(b"", mtime=0)),
        ("docstrings", "jsonl.gz", gzip.compress(b"\n \n", mtime=0)),
        ("airports", "xml", b"<airports/>"),
        ("airports", "xml", b'<a:airports xmlns:a="urn:a">\n</a:airports>'),
    ],
)
def test_what_its_format_calls_empty_is_landed_where_the_contract_allows_it(
    dataset: str, file_format: str, content: bytes, tmp_path: Path
) -> None:
    assert refusal(shipped(dataset, file_format), content, tmp_path) == "holds no record"
    land(shipped(dataset, file_format, allow_empty=True), content, tmp_path)


@pytest.mark.parametrize("packing", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_flipped_bit_of_a_zip_file_is_the_files_matter_whatever_it_is_packed_with(
    packing: int, tmp_path: Path
) -> None:
    contract = shipped("airports", "csv.zip")
    whole = zipped(CSV_ROWS * 30, packing)
    land(contract, whole, tmp_path)
    first = whole.index(b"airports.csv") + len(b"airports.csv")
    behind = whole.index(b"PK\x01\x02")
    received, read = [], []
    for place in range(first, behind):
        damaged = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        try:
            check_file(contract, "source")(io.BytesIO(damaged))
        except SourceDataError as error:
            received.append(str(error))
        try:
            records_of(contract, io.BytesIO(damaged))
        except UnreadableError as error:
            read.append(str(error))
    # Not every bit means something.
    assert len(received) > (behind - first) * 0.8
    assert all(reason.startswith("source is not a readable zip file: ") for reason in received)
    assert all(reason.startswith("is not a readable zip file: ") for reason in read)


def test_a_zip_file_packed_with_bzip2_that_is_damaged_is_not_landed(tmp_path: Path) -> None:
    content = bytearray(zipped(CSV_ROWS * 30, zipfile.ZIP_BZIP2))
    content[60] ^= 0xFF
    assert (
        refusal(shipped("airports", "csv.zip"), bytes(content), tmp_path)
        == "is not a readable zip file: Invalid data stream"
    )


def test_a_disk_that_fails_is_not_taken_for_a_damaged_zip_file() -> None:
    class FailingDisk(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output error") as failed, unzipped(FailingDisk(b"PK")):
        pass
    assert failed.value.errno == errno.EIO


@pytest.mark.parametrize("encoding", ["gb2312", "utf-7", "utf-32", "foo", "hex", "idna"])
def test_xml_in_an_encoding_that_is_not_read_is_refused_by_name(encoding: str, tmp_path: Path) -> None:
    content = f'<?xml version="1.0" encoding="{encoding}"?><airports><airport/></airports>'.encode()
    contract = shipped("airports", "xml")
    reason = refusal(contract, content, tmp_path)
    assert reason.startswith("is in an encoding that is not read: ")
    assert reason.endswith("; save it as UTF-8")
    with pytest.raises(UnreadableError, match=r"is in an encoding that is not read: .*; save it as UTF-8"):
        records_of(contract, io.BytesIO(content))
    with pytest.raises(SourceDataError, match="landed is in an encoding that is not read: "):
        delivered(contract, io.BytesIO(content), "landed")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1", "windows-1252", "koi8-r"])
def test_xml_in_an_encoding_of_one_byte_a_character_and_in_utf_16_is_landed(
    encoding: str, tmp_path: Path
) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?><airports><airport faa="EWR"/></airports>'
    land(shipped("airports", "xml"), text.encode(encoding), tmp_path)


GOOD = {
    "csv": CSV_ROWS * 3,
    "csv.zip": zipped(CSV_ROWS * 3),
    "jsonl.gz": gzip.compress(OBJECT.encode() * 3, mtime=0),
    "xml": b"<?xml version='1.0'?><airports><airport faa='EWR'><lat>1</lat></airport><!-- x --></airports>",
}
CONTRACTS = {
    (name, empty): shipped("docstrings" if name == "jsonl.gz" else "airports", name, allow_empty=empty)
    for name in GOOD
    for empty in (False, True)
}
CHANGE = st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=3), st.integers(0, 3))


@pytest.mark.parametrize("file_format", list(GOOD))
@settings(max_examples=200, deadline=None)
@given(changes=st.lists(CHANGE, min_size=1, max_size=4), cut=st.floats(0.5, 1.5), empty=st.booleans())
# A zip file's member without a name.
@example(changes=[(0.875, bytes(3), 1), (0.9375, bytes(1), 3)], cut=1.0, empty=False)
def test_whatever_has_happened_to_a_file_it_is_read_or_refused_in_one_line(
    file_format: str, changes: list[tuple[float, bytes, int]], cut: float, empty: bool
) -> None:
    content = GOOD[file_format]
    for place, new, old in changes:
        start = int(place * len(content))
        content = content[:start] + new + content[start + old :]
    content = content[: int(cut * len(content))]
    contract = CONTRACTS[file_format, empty]
    refused: str | None = None
    try:
        check_file(contract, "there")(io.BytesIO(content))
    except SourceDataError as error:
        refused = str(error)
    if refused is not None:
        assert refused.isprintable()
        return
    found = delivered(contract, io.BytesIO(content), "there")
    assert is_unicode(found.names)
    for record in records_of(contract, io.BytesIO(content)):
        if record is not None:
            assert is_unicode([*(record.values or []), record.error, record.raw, record.added])
            assert (record.values is None) == (record.error is not None)
