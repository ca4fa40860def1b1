"""Files on a disk are made as Hadoop makes them, and no process is started for any of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

HADOOP = {
    "fs.file.impl": "org.apache.hadoop.fs.LocalFileSystem",
    "fs.AbstractFileSystem.file.impl": "org.apache.hadoop.fs.local.LocalFs",
}


class Disk:
    """Hadoop's two interfaces to `file://`, as the session's configuration says, with `changes`."""

    def __init__(self, spark: SparkSession, folder: Path, **changes: str) -> None:
        self.jvm: Any = spark._jvm
        self.hadoop = self.jvm.org.apache.hadoop
        self._gateway = spark.sparkContext._gateway
        conf = self.hadoop.conf.Configuration(spark._jsc.hadoopConfiguration())
        for name, value in {"fs.permissions.umask-mode": "027", **changes}.items():
            conf.set(name, value)
        uri = self.jvm.java.net.URI.create("file:///")
        self.files = self.hadoop.fs.FileSystem.newInstance(uri, conf)
        self.context = self.hadoop.fs.FileContext.getFileContext(uri, conf)
        self.folder = folder
        folder.mkdir()

    def path(self, name: str) -> Any:
        return self.hadoop.fs.Path(f"file://{self.folder}/{name}")

    def write(self, name: str, text: bytes) -> None:
        self._fill(self.files.create(self.path(name), True), text)

    def write_by_context(self, name: str, text: bytes) -> None:
        flags = self.jvm.java.util.EnumSet.of(self.hadoop.fs.CreateFlag.CREATE)
        options = self._gateway.new_array(self.hadoop.fs.Options.CreateOpts, 0)
        self._fill(self.context.create(self.path(name), flags, options), text)

    def rename(self, name: str, new: str) -> None:
        options = self._gateway.new_array(self.hadoop.fs.Options.Rename, 0)
        self.context.rename(self.path(name), self.path(new), options)

    @staticmethod
    def _fill(stream: Any, text: bytes) -> None:
        stream.write(text)
        stream.close()


@pytest.fixture
def disks(spark: SparkSession, tmp_path: Path) -> tuple[Disk, Disk]:
    """As the session has it, and Hadoop's own."""
    return Disk(spark, tmp_path / "ours"), Disk(spark, tmp_path / "hadoop", **HADOOP)


def made(disk: Disk) -> dict[str, tuple[int, bytes]]:
    """What the same steps leave: modes and contents."""
    # Of a group, as folders have it that several people share.
    shared = disk.folder / "shared"
    shared.mkdir()
    shared.chmod(0o2775)
    disk.files.mkdirs(disk.path("shared/below"))
    disk.write("shared/partition/file", b"zero")
    disk.files.mkdirs(disk.path("folder/below"))
    disk.write("folder/file", b"one")
    disk.write("folder/file", b"two")
    disk.write_by_context("folder/.aside", b"three")
    disk.rename("folder/.aside", "folder/renamed")
    disk.write_by_context("folder/.aside", b"four")
    disk.files.setPermission(disk.path("folder"), disk.hadoop.fs.permission.FsPermission("1750"))
    with pytest.raises(Py4JJavaError, match="FileAlreadyExistsException"):
        disk.rename("folder/.aside", "folder/file")
    left = sorted(disk.folder.rglob("*"))
    return {
        str(path.relative_to(disk.folder)): (
            path.stat().st_mode,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in left
    }


def test_files_folders_and_checksums_are_those_of_hadoop(disks: tuple[Disk, Disk]) -> None:
    ours, hadoops = disks
    left = made(ours)
    assert left == made(hadoops)
    assert {"folder/.file.crc", "folder/.renamed.crc"} < left.keys()
    assert {mode & 0o7777 for mode, _ in left.values()} == {0o640, 0o750, 0o1750, 0o2750, 0o2775}


def status(disk: Disk, path: str) -> tuple[Any, ...]:
    try:
        found = disk.files.getFileLinkStatus(disk.hadoop.fs.Path(path))
    except Py4JJavaError as error:
        return (error.java_exception.getClass().getName(),)
    return found.isSymlink(), found.isDirectory(), found.getLen(), found.getModificationTime()


@pytest.mark.parametrize("scheme", ["file://", ""])
def test_a_link_is_what_hadoop_takes_it_for(disks: tuple[Disk, Disk], scheme: str) -> None:
    ours, hadoops = disks
    ours.write("file", b"one")
    for name, target in {"link": "file", "dangling": "nowhere", "folder": "."}.items():
        (ours.folder / name).symlink_to(ours.folder / target)
    for name in ("file", "link", "dangling", "folder", "nothing"):
        path = f"{scheme}{ours.folder}/{name}"
        assert status(ours, path) == status(hadoops, path), name


def test_a_damaged_file_is_noticed(disks: tuple[Disk, Disk]) -> None:
    disk, _ = disks
    disk.write("file", b"whole")
    (disk.folder / "file").write_bytes(b"whose")
    with pytest.raises(Py4JJavaError, match="ChecksumException"):
        disk.files.open(disk.path("file")).read()


def test_no_process_is_started(spark: SparkSession, disks: tuple[Disk, Disk]) -> None:
    process = Path(f"/proc/{spark._jvm.java.lang.ProcessHandle.current().pid()}/stat")
    if not process.exists():
        pytest.skip("only Linux tells what ended children took")

    def faults(of: Callable[[], object]) -> int:
        """Page faults of the children that have ended in the meantime: any process has some."""
        before = _faults_of_children(process)
        of()
        return _faults_of_children(process) - before

    ours, hadoops = disks
    assert faults(lambda: made(hadoops)) > 0
    assert faults(lambda: made(ours)) == 0


def _faults_of_children(stat: Path) -> int:
    return int(stat.read_text().rpartition(")")[2].split()[8])
