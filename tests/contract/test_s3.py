"""Files on a real S3 server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from millstream.errors import ConfigurationError, SourceDataError, SourceUnavailableError
from millstream.lake.storage import NewFile
from tests.support.loopback import closed_port
from tests.support.other_places import MONTHLY, Run, contract
from tests.support.s3_server import S3Server

# The server is built from its source, which takes minutes.
pytestmark = [pytest.mark.thorough, pytest.mark.timeout(2000)]


class Bucket:
    """A folder of the test's own in the server's bucket."""

    def __init__(self, server: S3Server, name: str) -> None:
        self._files = server.files
        self.folder = f"{server.bucket}/{name}"

    def put(self, path: str, content: bytes = b"id\n1\n") -> None:
        self._files.pipe(f"{self.folder}/{path}", content)


@pytest.fixture
def bucket(s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    bucket = Bucket(s3_server, tmp_path.name)
    monkeypatch.setenv("AIRFLOW_CONN_OTHER_PLACE", s3_server.connection(path=bucket.folder))
    return bucket


def test_new_and_changed_files_are_fetched_and_the_others_are_not_read(bucket: Bucket, run: Run) -> None:
    for name in ("a.csv", "deep/b.csv", "deep/_c.csv", "d.csv.part", "f.txt"):
        bucket.put(name)
    of = contract("**/*.csv", quiet_seconds=0)
    first = run(of)
    assert [(file.source, file.status) for file in first.files] == [("a.csv", "new"), ("deep/b.csv", "new")]
    # Of the same size: its ETag tells.
    bucket.put("deep/b.csv", b"id\n3\n")
    bucket.put("deep/new.csv", b"id\n4\n")
    assert [(file.source, file.status) for file in run(of, "r2").files] == [
        ("a.csv", "unchanged"),
        ("deep/b.csv", "changed"),
        ("deep/new.csv", "new"),
    ]


def test_months_may_have_several_files_each_of_any_size(bucket: Bucket, run: Run) -> None:
    # More than is asked for at once, and nothing that repeats itself where a block ends.
    large = b"id\n" + b"".join(b"%d\n" % number for number in range(1_500_000))
    for name in ("2024-01/a.csv", "2024-02/a.csv", "2024-13/a.csv", "x/a.csv"):
        bucket.put(name)
    bucket.put("2024-01/large.csv", large)
    of = contract("{partition}/*.csv", quiet_seconds=0, **MONTHLY)
    files = run(of).files
    assert [(file.source, file.partition) for file in files] == [
        ("2024-01/a.csv", "2024-01"),
        ("2024-01/large.csv", "2024-01"),
        ("2024-02/a.csv", "2024-02"),
    ]
    assert files[1].size == len(large)
    assert [file.source for file in run(of, "r2", ("2024-02",)).files] == ["2024-02/a.csv"]


def test_a_file_of_a_moment_ago_is_left_for_the_next_run(bucket: Bucket, run: Run) -> None:
    bucket.put("a.csv")
    with pytest.raises(SourceUnavailableError, match="all 1 files were changed within the last 60 s"):
        run(contract("*.csv"))
    assert [file.source for file in run(contract("a.csv")).files] == ["a.csv"]


def test_a_file_that_is_replaced_while_it_is_read_is_tried_again(
    bucket: Bucket, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("a.csv")
    write = NewFile.write

    def write_while_the_source_changes(self: NewFile, content: bytes) -> None:
        bucket.put("a.csv", b"id\n2\n")
        write(self, content)

    monkeypatch.setattr(NewFile, "write", write_while_the_source_changes)
    with pytest.raises(SourceUnavailableError, match=r"a\.csv changed while it was read"):
        run(contract("a.csv"))


def test_what_is_wrong_is_said_with_its_remedy_and_without_the_secret(
    bucket: Bucket, s3_server: S3Server, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("a.csv")
    with pytest.raises(SourceDataError, match=r"s3://127.0.0.1:\d+/drop/.*/gone\.csv: not there"):
        run(contract("gone.csv"))
    with pytest.raises(SourceDataError, match=r"\*\.csv: not there"):
        run(contract("none/*.csv"))

    def refused(connection: str, kind: type[Exception], expected: str) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_OTHER_PLACE", connection)
        for path in ("a.csv", "*.csv"):
            with pytest.raises(kind, match=expected) as failed:
                run(contract(path))
            assert json.loads(connection)["password"] not in str(failed.value)

    folder = bucket.folder
    login = "refused the login.*Correct connection other_place"
    refused(s3_server.connection(path=folder, password="another-secret"), ConfigurationError, login)
    refused(s3_server.connection(path=folder, login="nobody"), ConfigurationError, login)
    refused(s3_server.connection(path=f"no-{s3_server.bucket}"), SourceDataError, "not there")
    refused(s3_server.connection(path=""), ConfigurationError, "its extra names no path")
    refused(s3_server.connection(role_arn="x"), ConfigurationError, "role_arn in its extra mean nothing here")
    address = "endpoint_url in its extra is no address"
    refused(s3_server.connection(path=folder, endpoint_url="127.0.0.1:9"), ConfigurationError, address)
    region = "region_name 'x y'.*Correct connection other_place"
    refused(s3_server.connection(path=folder, region_name="x y"), ConfigurationError, region)
    refused(
        s3_server.connection(path="Bad!/x"), ConfigurationError, "Invalid bucket name.*Correct connection"
    )
    with closed_port() as port:
        down = s3_server.connection(path=folder, endpoint_url=f"http://127.0.0.1:{port}")
        refused(down, SourceUnavailableError, "another try will follow")
