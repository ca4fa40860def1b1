"""File sources: bytes kept, changes noticed, bad files refused with a message and nothing landed."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import zipfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from millstream.contracts.contract import Contract
from millstream.errors import ConfigurationError, SourceDataError, SourceUnavailableError
from millstream.lake.storage import NewFile, Storage
from millstream.landing.run import Landing
from millstream.sources import files
from millstream.sources.files import FilesExtractor

NOBODY = 65534
HEADER = b"carrier,name\n"
ROW = b"9E,Endeavor Air Inc.\n"


def contract(path: str, file_format: str, **more) -> Contract:
    row_tag = {"row_tag": "airline"} if file_format == "xml" else {}
    return Contract.from_dict(
        {
            "dataset": "airlines",
            "version": 1,
            "description": "Carriers as files.",
            "owner": "data",
            "source": {
                "kind": "files",
                "connection": "drop",
                "format": file_format,
                "path": path,
                **row_tag,
            },
            "load": "full",
            "start_date": "2013-01-01",
            "columns": [{"name": "carrier", "type": "string", "description": "Carrier code"}],
            "primary_key": ["carrier"],
            **more,
        },
        origin="airlines.yaml",
    )


def monthly() -> Contract:
    return contract("in/f_{partition}.csv.zip", "csv.zip", load="partition", partition={"start": "2013-01"})


def zipped(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    (tmp_path / "drop" / "in").mkdir(parents=True)
    return tmp_path / "drop"


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


def land(extractor: FilesExtractor, lake: Path, partitions=(), run="1"):
    landing = Landing(Storage(f"file://{lake}"), "airlines", run)
    files = [file for piece in extractor.plan(partitions) for file in extractor.fetch(piece, landing)]
    return landing.commit(partitions, files)


def assert_nothing_landed(lake: Path) -> None:
    assert [path for path in lake.rglob("*") if path.is_file()] == []


def test_one_slice_a_partition_and_the_bytes_as_they_were(drop, lake):
    january, february = zipped(("f.csv", HEADER + ROW)), zipped(("f.csv", HEADER + ROW + ROW))
    (drop / "in/f_2013-01.csv.zip").write_bytes(january)
    (drop / "in/f_2013-02.csv.zip").write_bytes(february)
    os.utime(drop / "in/f_2013-01.csv.zip", (1_357_000_000, 1_357_000_000))
    extractor = FilesExtractor(monthly(), drop)

    (piece,) = extractor.plan(["2013-02", "2013-01"])
    assert piece.model_dump()["files"] == (
        {"path": "in/f_2013-01.csv.zip", "partition": "2013-01"},
        {"path": "in/f_2013-02.csv.zip", "partition": "2013-02"},
    )
    manifest = land(extractor, lake, ["2013-01"])

    (file,) = manifest.files
    digest = hashlib.sha256(january).hexdigest()
    assert file.path == f"landing/airlines/partition=2013-01/{digest[:12]}-f_2013-01.csv.zip"
    assert (lake / file.path).read_bytes() == january
    assert (file.source, file.size, file.sha256) == ("in/f_2013-01.csv.zip", len(january), digest)
    assert file.modified.isoformat() == "2013-01-01T00:26:40+00:00"
    assert manifest.partitions == ("2013-01",)


def test_no_partitions_asked_for_means_all_that_is_there(drop):
    for name in ["f_2013-03.csv.zip", "f_2013-01.csv.zip", "f_2013-13.csv.zip", "g_2013-02.csv.zip"]:
        (drop / "in" / name).write_bytes(b"x")
    (planned,) = FilesExtractor(monthly(), drop).plan([])
    assert [file.partition for file in planned.files] == ["2013-01", "2013-03"]


def test_a_slice_is_one_large_file_or_many_small_ones(drop, monkeypatch):
    monkeypatch.setattr(files, "SLICE_BYTES", 10)
    for month, size in enumerate([4, 4, 4, 25, 2, 8, 1], start=1):
        (drop / f"in/f_2013-{month:02d}.csv.zip").write_bytes(b"x" * size)
    slices = FilesExtractor(monthly(), drop).plan([])
    months = [[file.partition[-2:] for file in piece.files] for piece in slices]
    assert months == [["01", "02"], ["03"], ["04"], ["05", "06"], ["07"]]


def test_every_bad_file_of_a_slice_is_named(drop, lake):
    for month, content in [("01", b""), ("02", GOOD_ZIP), ("03", GOOD_ZIP[:-30])]:
        (drop / f"in/f_2013-{month}.csv.zip").write_bytes(content)
    with pytest.raises(SourceDataError) as refused:
        land(FilesExtractor(monthly(), drop), lake)
    assert str(refused.value).splitlines() == [
        f"{drop}/in/f_2013-01.csv.zip is empty (0 bytes). Nothing was landed.",
        f"{drop}/in/f_2013-03.csv.zip is not a readable zip file: File is not a zip file{AFTERWARDS}",
    ]


def test_file_changed_under_the_same_name_is_landed_beside_the_old_one(drop, lake):
    extractor = FilesExtractor(contract("in/a.csv", "csv"), drop)
    for run, content in [("1", HEADER + ROW), ("2", HEADER + ROW), ("3", HEADER + ROW + ROW)]:
        (drop / "in/a.csv").write_bytes(content)
        manifest = land(extractor, lake, run=run)
        (file,) = manifest.files
        assert file.status == {"1": "new", "2": "unchanged", "3": "changed"}[run]
        assert (lake / file.path).read_bytes() == content
    assert len(list((lake / "landing/airlines").glob("*-a.csv"))) == 2


def test_all_missing_files_are_named_before_anything_is_copied(drop, lake):
    (drop / "in/f_2013-01.csv.zip").write_bytes(zipped(("f.csv", HEADER + ROW)))
    extractor = FilesExtractor(monthly(), drop)

    with pytest.raises(SourceDataError) as refused:
        land(extractor, lake, ["2013-01", "2013-02", "2013-03"])
    assert str(refused.value) == (
        f"{drop}/in/f_2013-02.csv.zip, {drop}/in/f_2013-03.csv.zip: not there. Nothing was landed. What to "
        "do: put the file there, correct the path in contract or connection, or ask for partitions the "
        "source has delivered; then clear the task"
    )
    assert_nothing_landed(lake)

    for month in ["02", "03"]:
        (drop / f"in/f_2013-{month}.csv.zip").write_bytes(zipped(("f.csv", HEADER + ROW)))
    assert len(land(extractor, lake, ["2013-01", "2013-02", "2013-03"]).files) == 3


def test_file_that_disappears_after_planning(drop, lake):
    (drop / "in/a.csv").write_bytes(HEADER + ROW)
    extractor = FilesExtractor(contract("in/a.csv", "csv"), drop)
    (piece,) = extractor.plan([])
    (drop / "in/a.csv").unlink()
    with pytest.raises(SourceDataError, match=r"in/a\.csv: not there"):
        extractor.fetch(piece, Landing(Storage(f"file://{lake}"), "airlines", "1"))
    assert_nothing_landed(lake)


GOOD_ZIP = zipped(("f.csv", HEADER + ROW))
GOOD_GZIP = gzip.compress(b'{"carrier": "9E"}\n' * 50, mtime=0)
GOOD_XML = b"<airlines><airline><carrier>9E</carrier></airline></airlines>"
AFTERWARDS = (
    ". Nothing was landed. What to do: ask the source's owner for the file again, then clear the task"
)


@pytest.mark.parametrize(
    ("file_format", "bad", "good", "reason"),
    [
        ("csv.zip", b"", GOOD_ZIP, " is empty (0 bytes)"),
        ("csv.zip", GOOD_ZIP[:-30], GOOD_ZIP, " is not a readable zip file: File is not a zip file"),
        (
            "csv.zip",
            GOOD_ZIP.replace(b"Endeavor", b"Endeavox"),
            GOOD_ZIP,
            " is not a readable zip file: bad checksum of f.csv",
        ),
        ("csv.zip", zipped(), GOOD_ZIP, " holds 0 files: expected one"),
        ("csv.zip", zipped(("a", ROW), ("d/b\n", ROW)), GOOD_ZIP, r" holds 2 files (a, d/b\n): expected one"),
        ("csv.zip", zipped(("f.csv", HEADER)), GOOD_ZIP, " holds no record"),
        ("csv", HEADER + b"\n", HEADER + ROW, " holds no record"),
        (
            "jsonl.gz",
            b"plain text",
            GOOD_GZIP,
            " is not a readable gzip file: Not a gzipped file (b'pl'); it is plain text",
        ),
        (
            "jsonl.gz",
            GOOD_GZIP[:-9],
            GOOD_GZIP,
            " is not a readable gzip file: Compressed file ended before the end-of-stream marker was reached",
        ),
        ("jsonl.gz", gzip.compress(b"\n\n", mtime=0), GOOD_GZIP, " holds no record"),
        ("xml", GOOD_XML[:-5], GOOD_XML, " is not well-formed XML: unclosed token: line 1, column 50"),
        ("xml", b"<airlines/>", GOOD_XML, " holds no record"),
    ],
)
def test_bad_file_is_refused_nothing_lands_and_a_good_one_heals(drop, lake, file_format, bad, good, reason):
    path = drop / "in" / "source"
    extractor = FilesExtractor(contract("in/source", file_format), drop)

    path.write_bytes(bad)
    with pytest.raises(SourceDataError) as refused:
        land(extractor, lake)
    assert str(refused.value) == f"{path}{reason}{AFTERWARDS}"
    assert_nothing_landed(lake)

    path.write_bytes(good)
    (file,) = land(extractor, lake).files
    assert (lake / file.path).read_bytes() == good


def test_empty_file_is_landed_where_the_contract_allows_it(drop, lake):
    (drop / "in/a.csv").write_bytes(HEADER)
    (file,) = land(FilesExtractor(contract("in/a.csv", "csv", allow_empty=True), drop), lake).files
    assert (lake / file.path).read_bytes() == HEADER


def test_folder_that_is_not_mounted_is_tried_again(tmp_path, lake):
    extractor = FilesExtractor(monthly(), tmp_path / "nowhere")
    with pytest.raises(SourceUnavailableError) as refused:
        extractor.plan(["2013-01"])
    assert str(refused.value) == (
        f"folder {tmp_path}/nowhere is not there: check that it is mounted, and the path in connection drop"
    )


def test_a_name_that_is_too_long_is_not_tried_again(drop, lake):
    name = "a" * 300
    too_long = (
        "this name is too long for the file system: correct the contract's path, or the one in the connection"
    )
    with pytest.raises(ConfigurationError) as refused:
        land(FilesExtractor(contract(f"in/{name}.csv", "csv"), drop), lake)
    assert str(refused.value) == f"{drop}/in/{name}.csv: {too_long}"
    with pytest.raises(ConfigurationError) as refused:
        FilesExtractor(contract("a.csv", "csv"), drop / name).plan([])
    assert str(refused.value) == f"folder {drop / name}: {too_long}"


@contextmanager
def without_the_superusers_rights():
    """Access is refused to a user other than the superuser, whom the tests of a container run as."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_folder_that_may_not_be_looked_into_is_said_so(drop):
    (drop / "in/a.csv").write_bytes(HEADER + ROW)
    deep = contract("in/a.csv", "csv")
    # A user other than the owner reaches the folders of a test only by a handle.
    (drop / "in").chmod(0)
    own = Path(f"/proc/self/fd/{os.open(drop, os.O_RDONLY)}")
    drop.chmod(0o755)
    try:
        with without_the_superusers_rights(), pytest.raises(SourceDataError) as refused:
            FilesExtractor(deep, own).plan([])
        assert str(refused.value) == (
            f"{own}/in/a.csv cannot be read: Permission denied. What to do: give the platform's user the "
            "right to read it, then clear the task"
        )
        with without_the_superusers_rights(), pytest.raises(SourceDataError) as refused:
            FilesExtractor(deep, own / "in/deeper").plan([])
        assert str(refused.value).startswith(f"folder {own}/in/deeper cannot be read: Permission denied. ")
    finally:
        (drop / "in").chmod(0o755)
        os.close(int(own.name))


def test_file_that_grows_while_it_is_read_is_tried_again(drop, lake, monkeypatch):
    path = drop / "in/a.csv"
    path.write_bytes(HEADER + ROW)
    extractor = FilesExtractor(contract("in/a.csv", "csv"), drop)
    write = NewFile.write

    def write_while_the_source_grows(self, content):
        with path.open("ab") as out:
            out.write(ROW)
        write(self, content)

    monkeypatch.setattr(NewFile, "write", write_while_the_source_grows)
    with pytest.raises(
        SourceUnavailableError, match=r"in/a\.csv changed while it was read \(34 bytes when opened"
    ):
        land(extractor, lake)
    assert_nothing_landed(lake)


@pytest.mark.parametrize("partition", ["2013-1", "../../etc", "2013-13"])
def test_partition_that_is_no_month(drop, partition):
    with pytest.raises(ConfigurationError, match="a partition is written YYYY-MM, found"):
        FilesExtractor(monthly(), drop).plan([partition])


def test_link_that_leads_out_of_the_folder_is_not_followed(drop, tmp_path, lake):
    (tmp_path / "secret.csv").write_bytes(HEADER + ROW)
    (drop / "in/a.csv").symlink_to(tmp_path / "secret.csv")
    extractor = FilesExtractor(contract("in/a.csv", "csv"), drop)
    with pytest.raises(ConfigurationError, match=r"in/a\.csv leads out of folder"):
        land(extractor, lake)
    assert_nothing_landed(lake)
