"""What the lake's storage promises, on every file system that it may lie on: one body of tests for all."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import subprocess
import sys
import textwrap
import time
import uuid
import zipfile
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from millstream.errors import ClusterError, ConfigurationError, LakeWriterError
from millstream.formats.archives import gunzipped, unzipped
from millstream.lake.storage import Storage
from tests.support.hadoop import Hdfs
from tests.support.waiting import until

MIB = 1 << 20
HOLDER = textwrap.dedent(
    """
    import sys
    from millstream.lake.storage import Storage

    with Storage(sys.argv[1]).lock(sys.argv[2], 5):
        print("held", flush=True)
        sys.stdin.read()
    """
)


@pytest.fixture(params=["file", "hdfs"])
def storage(request: pytest.FixtureRequest, tmp_path) -> Storage:
    if request.param == "file":
        return Storage(f"file://{tmp_path}/lake")
    server = request.getfixturevalue("hdfs")
    return Storage(f"{server.uri}/lakes/{uuid.uuid4().hex}")


def holder(storage: Storage, name: str) -> subprocess.Popen[str]:
    """A process that holds the lock `name` until it is ended or its input is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, storage.lake_root, name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_what_is_written_is_read(storage: Storage) -> None:
    storage.write("landing/flights/a.csv", b"1,2\n")
    assert storage.read("landing/flights/a.csv") == b"1,2\n"
    storage.write("landing/flights/a.csv", b"3\n")
    assert storage.read("landing/flights/a.csv") == b"3\n"
    assert storage.exists("landing/flights/a.csv")
    assert storage.list("landing/flights") == ["a.csv"]


def test_names_are_taken_as_they_are(storage: Storage) -> None:
    names = ["a b.csv", "a%20b.csv", "ä.csv", "a+b.csv", "a=b#c.csv"]
    for name in names:
        storage.write(f"x/partition=2013-01/{name}", name.encode())
    assert storage.list("x/partition=2013-01") == sorted(names)
    assert [storage.read(f"x/partition=2013-01/{name}").decode() for name in names] == names


def test_what_is_not_there(storage: Storage) -> None:
    assert not storage.exists("nothing")
    assert storage.list("nothing") == []
    assert storage.files("nothing") == ()
    storage.remove("nothing")
    with pytest.raises(ClusterError, match="the lake's storage failed at nothing"):
        storage.read("nothing")


def test_files_are_listed_with_size_and_time(storage: Storage) -> None:
    before = datetime.now(UTC) - timedelta(seconds=5)
    storage.write("a/one", b"1")
    storage.write("a/b/two", b"22")
    storage.write("other/three", b"333")
    found = {file.path: file for file in storage.files("a")}
    assert {path: file.bytes for path, file in found.items()} == {"a/one": 1, "a/b/two": 2}
    assert all(before < file.modified < datetime.now(UTC) + timedelta(seconds=5) for file in found.values())
    assert [file.path for file in storage.files("a/one")] == ["a/one"]
    assert {file.path for file in storage.files("")} == {"a/one", "a/b/two", "other/three"}


def test_a_file_appears_whole_or_not_at_all(storage: Storage) -> None:
    with storage.new_file("landing") as new:
        new.write(b"half")
        assert not storage.exists("landing/file")
        with new.reading() as stream:
            assert stream.read() == b"half"
        new.publish("landing/file")
    assert storage.list("landing") == ["file"]
    with storage.new_file("landing") as new:
        new.write(b"never")
    assert storage.list("landing") == ["file"]


def test_a_move_replaces(storage: Storage) -> None:
    storage.write("a", b"new")
    storage.write("deep/b", b"old")
    storage.rename("a", "deep/b")
    assert storage.read("deep/b") == b"new"
    assert not storage.exists("a")


def test_folders_go_with_all_below_them(storage: Storage) -> None:
    storage.write("a/b/c", b"1")
    storage.write("a/d", b"2")
    storage.write("e", b"3")
    storage.remove("a")
    assert storage.list("") == ["e"]
    with pytest.raises(ConfigurationError, match="is all of"):
        storage.remove("")
    for path in ("/etc/passwd", "../x", "a/../../x"):
        with pytest.raises(ConfigurationError, match="leads out of"):
            storage.exists(path)


def test_streams_can_do_what_formats_ask_of_them(storage: Storage) -> None:
    content = os.urandom(3 * MIB + 17)
    with storage.new_file("big") as new:
        for at in range(0, len(content), MIB):
            new.write(content[at : at + MIB])
        new.publish("big/file")
    with storage.reading("big/file") as stream:
        assert hashlib.file_digest(stream, "sha256").digest() == hashlib.sha256(content).digest()
        stream.seek(MIB + 1)
        assert stream.read(10) == content[MIB + 1 : MIB + 11]
        assert stream.seek(-5, io.SEEK_END) == len(content) - 5
        assert stream.read() == content[-5:]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.csv", "1,2\n" * 1000)
    storage.write("a.zip", packed.getvalue())
    storage.write("a.gz", gzip.compress(b"1,2\n" * 1000))
    with storage.reading("a.zip") as stream, zipfile.ZipFile(stream).open("a.csv") as member:
        assert member.read() == b"1,2\n" * 1000
    with storage.reading("a.gz") as stream, gzip.open(stream) as unpacked:
        assert unpacked.readline() == b"1,2\n"


def test_many_small_files_at_once(storage: Storage) -> None:
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda number: storage.write(f"small/{number}", b"x"), range(64)))
    assert len(storage.list("small")) == 64


def test_a_lock_is_one_process_at_a_time(storage: Storage) -> None:
    process = holder(storage, "silver.flights")
    with pytest.raises(ClusterError, match=r"another process has held the lock silver\.flights of"):
        storage.lock("silver.flights", 1).__enter__()
    with storage.lock("silver.planes", 5):
        pass
    process.communicate("")
    with storage.lock("silver.flights", 10):
        pass


def test_a_lake_is_that_of_one_stack(storage: Storage) -> None:
    storage.require_unclaimed("stack A")
    claim = "import sys; from millstream.lake.storage import Storage; Storage(sys.argv[1]).claim('stack A'); "
    process = subprocess.Popen(
        [sys.executable, "-c", f"{claim} print('claimed', flush=True); sys.stdin.read()", storage.lake_root],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "claimed\n"
    for refused in (storage.require_unclaimed, storage.claim):
        with pytest.raises(LakeWriterError, match=r"belongs to stack A.* already, and a lake has one"):
            refused("stack B")
    process.communicate("")
    # On HDFS it still is that stack's, and the one that has it starts again.
    storage.require_unclaimed("stack A")
    storage.require_safe_for_writers()


def test_what_fails_under_a_lock_is_no_failure_of_the_storage(storage: Storage) -> None:
    with pytest.raises(FileNotFoundError), storage.lock("x", 5):
        raise FileNotFoundError("of the caller")


@pytest.mark.thorough
def test_the_lock_of_a_process_that_died_is_free_again(storage: Storage) -> None:
    process = holder(storage, "x")
    process.kill()
    process.wait(10)
    began = time.monotonic()
    # HDFS gives it away when the lease's soft limit, a minute, has passed.
    with storage.lock("x", 100):
        assert time.monotonic() - began < 90


def test_a_child_of_a_process_that_has_used_hdfs_says_that_it_cannot(hdfs: Hdfs) -> None:
    """It would wait for ever: the client's threads are those of the parent."""
    storage = Storage(f"{hdfs.uri}/lake")
    storage.write("a", b"1")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            storage.read("a")
        except ClusterError as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as told:
        assert b"forked from one that had used HDFS" in told.read()
    os.waitpid(child, 0)
    assert storage.read("a") == b"1"


@pytest.mark.parametrize("root", ["s3://bucket/lake", "/lake", "lake", "hdfs:/lake"])
def test_a_root_of_another_kind_is_refused(root: str) -> None:
    with pytest.raises(ConfigurationError, match=r"begins with file:// or hdfs://; set MILLSTREAM_LAKE_ROOT"):
        Storage(root)


def test_a_namenode_that_does_not_answer_is_told_soon() -> None:
    began = time.monotonic()
    with pytest.raises(ClusterError, match="the lake's storage failed at landing"):
        Storage("hdfs://127.0.0.1:1/lake").exists("landing")
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("root", ["hdfs:///lake", "hdfs://no-such-nameservice/lake"])
def test_an_address_without_its_configuration_is_refused_for_good(
    root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HADOOP_CONF_DIR", raising=False)
    with pytest.raises(ConfigurationError, match="look at MILLSTREAM_LAKE_ROOT"):
        Storage(root).exists("landing")


def test_a_datanode_that_is_down_is_no_damage_of_the_file(hdfs: Hdfs) -> None:
    """A damaged file is the source's matter and never tried again; this one is whole."""
    storage = Storage(f"{hdfs.uri}/lakes/{uuid.uuid4().hex}")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.csv", "carrier,name\nUA,United\n")
    storage.write("a.csv.zip", packed.getvalue())
    storage.write("a.gz", gzip.compress(b"1,2\n" * 1000))
    hdfs.kill("datanode")
    try:
        with storage.reading("a.csv.zip") as stream, pytest.raises(ClusterError, match="HDFS failed while"):
            unzipped(stream, whole=True).__enter__()
        with storage.reading("a.gz") as stream, gunzipped(stream) as content, pytest.raises(ClusterError):
            content.read()
    finally:
        hdfs.start_datanode()

    def is_read() -> bool:
        try:
            return storage.read("a.csv.zip") == packed.getvalue()
        except ClusterError:
            return False

    until(is_read, 60, "the NameNode to know the DataNode's new address")
