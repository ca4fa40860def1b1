"""The folders of a lake on a real HDFS: who may read and write there, and how much it may take."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import uuid
from typing import Any

import httpx
import pytest

from millstream.engines.conf import hadoop_user
from millstream.errors import ClusterError, ConfigurationError
from millstream.lake.storage import Storage
from millstream_stack.cluster.lake_setup import READER, prepare, wait_for_writes
from millstream_stack.cluster.webhdfs import WebHdfs
from tests.support.hadoop import Hdfs

BYTES, NAMES = 1 << 30, 100
# As another user, which a process is to HDFS for all of its life.
AS_ANOTHER = textwrap.dedent(
    """
    import json, sys
    from millstream.errors import MillstreamError
    from millstream.lake.storage import Storage

    storage, said = Storage(sys.argv[1]), []
    for ask in (lambda: storage.read("ops/page").decode(), lambda: storage.write("ops/mine", b"1")):
        try:
            said.append(ask())
        except MillstreamError as error:
            said.append(f"{type(error).__name__}: {error}")
    print(json.dumps(said))
    """
)


@pytest.fixture
def lake(hdfs: Hdfs) -> str:
    """Set up twice, which is as once."""
    folder = f"/{uuid.uuid4().hex}/lake"
    with WebHdfs(hdfs.web) as api:
        wait_for_writes(api)
        for _ in range(2):
            prepare(api, folder, folder.replace("/lake", "/events"), BYTES, NAMES)
    Storage(f"{hdfs.uri}{folder}").write("ops/page", b"a page")
    return folder


def said_to(user: str, uri: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", AS_ANOTHER, uri],
        env={**os.environ, "HADOOP_USER_NAME": user}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    answers: list[str] = json.loads(done.stdout)
    return answers


def test_a_reader_reads_and_writes_nothing_and_others_do_not_even_look(hdfs: Hdfs, lake: str) -> None:
    read, written = said_to(READER, f"{hdfs.uri}{lake}")
    assert read == "a page"
    assert written.startswith("ConfigurationError: HDFS refuses: Permission denied: user=reader")
    read, _ = said_to("ada", f"{hdfs.uri}{lake}")
    assert read.startswith("ConfigurationError: HDFS refuses: Permission denied: user=ada")


def test_a_lake_takes_so_much_and_no_more(hdfs: Hdfs, lake: str) -> None:
    asked = {"op": "GETCONTENTSUMMARY", "user.name": hadoop_user()}
    summary = httpx.get(f"{hdfs.web}/webhdfs/v1{lake}", params=asked, trust_env=False).json()
    kept: dict[str, Any] = summary["ContentSummary"]
    assert (kept["spaceQuota"], kept["quota"]) == (BYTES, NAMES)
    with WebHdfs(hdfs.web) as api:
        prepare(api, lake, lake.replace("/lake", "/events"), 1024, NAMES)
    with pytest.raises(ConfigurationError, match=r"quota .* is exceeded.*What to do: remove"):
        Storage(f"{hdfs.uri}{lake}").write("second", b"x" * 5000)


def test_what_hdfs_refuses_is_an_error_that_says_it() -> None:
    with WebHdfs("http://127.0.0.1:1") as api, pytest.raises(ClusterError, match="does not answer at http"):
        api.safe_mode()


def test_while_hdfs_takes_no_writes_the_set_up_says_why(hdfs: Hdfs) -> None:
    hdfs.admin("-safemode", "enter")
    try:
        with WebHdfs(hdfs.web) as api:
            with pytest.raises(ClusterError, match=r"HDFS takes no writes: Safe mode is ON"):
                wait_for_writes(api, timeout_s=0)
            with pytest.raises(ClusterError, match=r"HDFS refused MKDIRS of /new: .*safe mode"):
                prepare(api, "/new", "/events", BYTES, NAMES)
    finally:
        hdfs.admin("-safemode", "leave")
