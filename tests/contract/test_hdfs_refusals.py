"""What a real HDFS refuses: an error that says what, where and what to do, and whether to try again."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Iterator

import pytest

from millstream.errors import ClusterError, ConfigurationError
from millstream.lake.storage import Storage
from tests.support.hadoop import Hdfs, StandbyNameNode
from tests.support.waiting import until

# As another user, which a process is to HDFS for all of its life.
AS_ADA = textwrap.dedent(
    """
    import sys
    from millstream.errors import MillstreamError
    from millstream.lake.storage import Storage

    try:
        Storage(sys.argv[1]).write("a", b"1")
    except MillstreamError as error:
        print(type(error).__name__, error)
    """
)


@pytest.fixture
def began() -> Iterator[None]:
    """Each of them is known within half a minute."""
    start = time.monotonic()
    yield
    assert time.monotonic() - start < 30


@pytest.fixture
def folder(hdfs: Hdfs) -> str:
    name = f"/lakes/{uuid.uuid4().hex}"
    Storage(f"{hdfs.uri}{name}").write("first", b"1")
    return name


@pytest.mark.usefixtures("began")
def test_a_user_without_the_right_to_write(hdfs: Hdfs, folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HADOOP_USER_NAME", "ada")
    done = subprocess.run(
        [sys.executable, "-c", AS_ADA, f"{hdfs.uri}{folder}"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("ConfigurationError HDFS refuses: Permission denied: user=ada")
    assert f'inode="{folder.rpartition("/")[0]}":' in done.stdout
    assert "What to do: give this user the right to it (hdfs dfs -chown" in done.stdout


@pytest.mark.parametrize("quota", ["-setSpaceQuota", "-setQuota"])
def test_a_quota_that_is_used_up(hdfs: Hdfs, folder: str, quota: str) -> None:
    hdfs.admin(quota, "2" if quota == "-setQuota" else "1024", folder)
    began = time.monotonic()
    with pytest.raises(ConfigurationError, match=rf"quota .*{folder} is exceeded.*What to do: remove"):
        Storage(f"{hdfs.uri}{folder}").write("second", b"x" * 5000)
    assert time.monotonic() - began < 30


def test_a_namenode_in_safe_mode(hdfs: Hdfs, folder: str) -> None:
    storage = Storage(f"{hdfs.uri}{folder}")
    hdfs.admin("-safemode", "enter")
    try:
        began = time.monotonic()
        with pytest.raises(ClusterError, match=r"Name node is in safe mode\..*What to do: wait until"):
            storage.write("second", b"2")
        assert time.monotonic() - began < 30
        assert storage.read("first") == b"1"
    finally:
        hdfs.admin("-safemode", "leave")
    storage.write("second", b"2")


@pytest.mark.thorough
def test_a_standby_namenode(tmp_path_factory: pytest.TempPathFactory) -> None:
    server = StandbyNameNode(tmp_path_factory.mktemp("standby"))
    try:
        server.start_namenode()
        began = time.monotonic()
        with pytest.raises(ClusterError, match=r"not supported in state standby.*name the nameservice"):
            Storage(f"{server.uri}/lake").exists("first")
        assert time.monotonic() - began < 30
    finally:
        server.stop()


def test_no_datanode_takes_a_block(hdfs: Hdfs, folder: str) -> None:
    storage = Storage(f"{hdfs.uri}{folder}")
    hdfs.kill("datanode")
    try:
        began = time.monotonic()
        with pytest.raises(
            ClusterError, match=r"storage failed at .*look whether .* enough DataNodes are up"
        ):
            storage.write("second", b"2")
        assert time.monotonic() - began < 30
    finally:
        hdfs.start_datanode()
    until(lambda: writes(storage), 60, "the DataNode to take blocks again")
    assert storage.list("") == ["first", "third"]


def writes(storage: Storage) -> bool:
    try:
        storage.write("third", b"3")
    except ClusterError:
        return False
    return True
