"""Files at other places, on real servers: what is there, what has changed, what is being written, and what
goes wrong."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from millstream.errors import ConfigurationError, SourceDataError, SourceUnavailableError
from millstream.lake.storage import NewFile, Storage
from millstream.sources import remote
from millstream.sources.files import FilesExtractor
from millstream.sources.remote import Remote
from millstream_airflow.connections import extractor_for, files
from millstream_stack.cluster.webhdfs import WebHdfs
from tests.support.hadoop import Hdfs
from tests.support.loopback import free_port, serve
from tests.support.other_places import MONTHLY, OLD, Run, contract, put, web_app, web_connection
from tests.support.sftp_server import SftpServer
from tests.support.waiting import until


@pytest.fixture
def sftp(sftp_server: SftpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own on the server."""
    folder = sftp_server.files / tmp_path.name
    folder.mkdir()
    monkeypatch.setenv("AIRFLOW_CONN_OTHER_PLACE", sftp_server.connection(path=str(folder)))
    return folder


def test_sftp_new_and_changed_files_are_fetched_and_the_others_are_not_read(sftp: Path, run: Run) -> None:
    for name in ("a.csv", "deep/b.csv", "deep/_c.csv", "d.csv.part", ".e.csv", "f.txt"):
        put(sftp / name)
    of = contract("**/*.csv")
    first = run(of)
    assert [(file.source, file.status) for file in first.files] == [("a.csv", "new"), ("deep/b.csv", "new")]
    # Another content that the listing does not show: not read, so not seen.
    put(sftp / "a.csv", "id\n2\n")
    put(sftp / "deep/b.csv", "id\n3\n", OLD + 60)
    put(sftp / "deep/new.csv", "id\n4\n")
    second = run(of, "r2")
    assert [(file.source, file.status) for file in second.files] == [
        ("a.csv", "unchanged"),
        ("deep/b.csv", "changed"),
        ("deep/new.csv", "new"),
    ]
    assert second.files[0].path == first.files[0].path


def test_sftp_months_may_have_several_files_each(sftp: Path, run: Run) -> None:
    for name in ("2024-01/a.csv", "2024-01/b.csv", "2024-02/a.csv", "2024-13/a.csv", "x/a.csv"):
        put(sftp / name)
    of = contract("{partition}/*.csv", **MONTHLY)
    assert [(file.source, file.partition) for file in run(of).files] == [
        ("2024-01/a.csv", "2024-01"),
        ("2024-01/b.csv", "2024-01"),
        ("2024-02/a.csv", "2024-02"),
    ]
    assert [file.source for file in run(of, "r2", ("2024-02",)).files] == ["2024-02/a.csv"]
    with pytest.raises(SourceDataError, match=r"2024-03/\*\.csv: not there"):
        run(of, "r3", ("2024-02", "2024-03"))


def test_sftp_files_that_were_changed_a_moment_ago_are_left_for_the_next_run(sftp: Path, run: Run) -> None:
    put(sftp / "a.csv", modified=time.time())
    with pytest.raises(SourceUnavailableError, match="all 1 files were changed within the last 60 s"):
        run(contract("*.csv"))
    put(sftp / "b.csv")
    assert [file.source for file in run(contract("*.csv")).files] == ["b.csv"]
    # One that is named is the one that is meant.
    assert [file.source for file in run(contract("a.csv"), "r2").files] == ["a.csv"]


def test_sftp_file_that_grows_while_it_is_read_is_tried_again(
    sftp: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(sftp / "a.csv")
    write = NewFile.write

    def write_while_the_source_grows(self: NewFile, content: bytes) -> None:
        with (sftp / "a.csv").open("a") as out:
            out.write("2\n")
        write(self, content)

    monkeypatch.setattr(NewFile, "write", write_while_the_source_grows)
    with pytest.raises(SourceUnavailableError, match=r"a\.csv changed while it was read \(5 bytes when"):
        run(contract("a.csv"))


def test_sftp_what_is_wrong_is_said_with_its_remedy(
    sftp: Path, sftp_server: SftpServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SourceDataError, match=r"sftp://127.0.0.1:\d+/.*/gone\.csv: not there"):
        run(contract("gone.csv"))
    with pytest.raises(SourceDataError, match=r"\*\.csv: not there"):
        run(contract("*.csv"))
    put(sftp / "a.csv", "")
    with pytest.raises(SourceDataError, match=r"a\.csv is empty \(0 bytes\)"):
        run(contract("a.csv"))

    def refused(connection: str, kind: type[Exception], expected: str) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_OTHER_PLACE", connection)
        with pytest.raises(kind, match=expected) as failed:
            run(contract("a.csv"))
        assert str(failed.value).isprintable()

    wrong_login = sftp_server.connection("other_key", path=str(sftp))
    refused(wrong_login, ConfigurationError, "refused the login.*Correct connection other_place")
    other_server = sftp_server.connection(path=str(sftp), host_key=sftp_server.key_of("other_key"))
    refused(other_server, ConfigurationError, "its key is not the known one.*Correct connection other_place")
    down = json.dumps({**json.loads(sftp_server.connection(path=str(sftp))), "port": free_port()})
    refused(down, SourceUnavailableError, "another try will follow|cannot be read now")
    refused(sftp_server.connection(path=""), ConfigurationError, "its extra names no path")


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "served"
    with serve(web_app(folder)) as url:
        monkeypatch.setenv("AIRFLOW_CONN_OTHER_PLACE", web_connection(url))
        yield folder


def test_web_files_are_downloaded_once(web: Path, run: Run) -> None:
    put(web / "a.csv", "id\n" + "1\n" * 1_000_000)
    of = contract("files/a.csv")
    (file,) = run(of).files
    assert (file.status, file.size) == ("new", 2_000_003)
    assert [each.status for each in run(of, "r2").files] == ["unchanged"]
    put(web / "a.csv", "id\n2\n", OLD + 60)
    assert [each.status for each in run(of, "r3").files] == ["changed"]


def test_web_what_is_wrong_is_said_with_its_remedy(
    web: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(web / "a.csv")
    wrong = [
        ("files/gone.csv", SourceDataError, "gone.csv: not there"),
        ("files/busy.csv", SourceUnavailableError, "the server answers 503; another try will follow"),
        ("files/half.csv", SourceUnavailableError, "cannot be read now: .*another try will follow"),
        ("files/*.csv", ConfigurationError, "a web server has no listing"),
    ]
    for path, kind, expected in wrong:
        with pytest.raises(kind, match=expected):
            run(contract(path))
    given = json.loads(os.environ["AIRFLOW_CONN_OTHER_PLACE"])
    monkeypatch.setenv("AIRFLOW_CONN_OTHER_PLACE", json.dumps({**given, "password": "other"}))
    with pytest.raises(ConfigurationError, match=r"the server refused the login \(401\)") as refused:
        run(contract("files/a.csv"))
    assert "other" not in str(refused.value).replace("other_place", "")
    monkeypatch.setenv("AIRFLOW_CONN_OTHER_PLACE", json.dumps({**given, "port": free_port()}))
    with pytest.raises(SourceUnavailableError, match="another try will follow"):
        run(contract("files/a.csv"))


def test_a_place_whose_file_system_is_not_installed_says_how_to_get_it(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {"conn_type": "google_cloud_platform", "extra": {"path": "bucket/folder"}}
    monkeypatch.setenv("AIRFLOW_CONN_OTHER_PLACE", json.dumps(connection))
    with pytest.raises(ConfigurationError, match=r"no file system for gs is installed.*pyproject\.toml"):
        run(contract("a.csv"))
    monkeypatch.setenv("AIRFLOW_CONN_OTHER_PLACE", json.dumps({"conn_type": "postgres"}))
    with pytest.raises(ConfigurationError, match="its type, postgres, leads to no files; expected one of fs"):
        extractor_for(contract("a.csv"))


@pytest.mark.parametrize("address", ["http://ada:s3cret@127.0.0.1:9", "https://ada:s3/cret@127.0.0.1"])
def test_s3_takes_no_login_from_an_address(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = {"conn_type": "aws", "extra": {"path": "drop", "endpoint_url": address}}
    monkeypatch.setenv("AIRFLOW_CONN_OTHER_PLACE", json.dumps(connection))
    with pytest.raises(ConfigurationError, match="put access key and secret into login and pass") as refused:
        extractor_for(contract("a.csv"))
    assert "s3" not in str(refused.value)


def test_a_folder_of_this_machine_has_patterns_too(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop = tmp_path / "drop"
    put(drop / "in/a.csv")
    put(drop / "in/.hidden.csv")
    connection = {"conn_type": "fs", "extra": {"path": str(drop)}}
    monkeypatch.setenv("AIRFLOW_CONN_OTHER_PLACE", json.dumps(connection))
    extractor = extractor_for(contract("in/*.csv"))
    assert isinstance(extractor, FilesExtractor)
    assert [file.source for file in run(contract("in/*.csv")).files] == ["in/a.csv"]
    # It costs little to read it: another content is seen whatever the listing says.
    put(drop / "in/a.csv", "id\n2\n")
    assert [file.status for file in run(contract("in/*.csv"), "r2").files] == ["changed"]


def hdfs_connection(kind: str, hdfs: Hdfs, **more: str) -> str:
    host, port = (hdfs.uri if kind == "hdfs" else hdfs.web).rpartition("/")[2].split(":")
    return json.dumps(
        {"conn_type": kind, "host": host, "port": int(port), "extra": {"path": "/drop"}, **more}
    )


@pytest.mark.thorough
@pytest.mark.timeout(900)
def test_hdfs_files_are_listed_and_fetched(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    hdfs = Hdfs(tmp_path / "hadoop")
    try:
        hdfs.start()
        there = Storage(f"{hdfs.uri}/drop")
        there.write("2024-01/a.csv", b"id\n1\n" * 3_000_000)
        there.write("2024-01/b.csv.part", b"id\n")
        there.write("2024-01/later/c.csv", b"id\n")
        of = contract("{partition}/*.csv", quiet_seconds=0, **MONTHLY)
        for kind in ("hdfs", "webhdfs"):
            monkeypatch.setenv("AIRFLOW_CONN_OTHER_PLACE", hdfs_connection(kind, hdfs))
            (file,) = run(of, kind).files
            assert (file.source, file.partition, file.size) == ("2024-01/a.csv", "2024-01", 15_000_000)
            with pytest.raises(SourceDataError, match=rf"{kind}://.*/drop/gone\.csv: not there"):
                run(contract("gone.csv"), f"{kind}-2")
        with WebHdfs(hdfs.web) as api:
            api.ask("PUT", "SETPERMISSION", "/drop", permission="700")
        monkeypatch.setenv("AIRFLOW_CONN_OTHER_PLACE", hdfs_connection("webhdfs", hdfs, login="ada"))
        with pytest.raises(SourceDataError, match="give the platform's user the right to read it"):
            run(contract("2024-01/a.csv"), "webhdfs-3")
    finally:
        hdfs.stop()


@pytest.mark.parametrize("kind", ["hdfs", "webhdfs"])
def test_a_namenode_that_is_away_is_told_soon(kind: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Left to its defaults the client of `hdfs` notices it after three minutes."""
    away = {"conn_type": kind, "host": "127.0.0.1", "port": 1, "extra": {"path": "/drop"}}
    monkeypatch.setenv("AIRFLOW_CONN_OTHER_PLACE", json.dumps(away))
    began = time.monotonic()
    with pytest.raises(SourceUnavailableError, match=rf"{kind}://127\.0\.0\.1:1/drop.* cannot be read now"):
        run(contract("gone.csv"))
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("kind", ["hdfs", "webhdfs"])
@pytest.mark.parametrize("path", ["a.csv", "*.csv"])
def test_a_namenode_that_says_nothing_is_told_soon(
    kind: str, path: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "PATIENCE_S", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        connection = {"conn_type": kind, "host": "127.0.0.1", "port": port, "extra": {"path": "/drop"}}
        monkeypatch.setenv("AIRFLOW_CONN_OTHER_PLACE", json.dumps(connection))
        began = time.monotonic()
        where = rf"{kind}://127\.0\.0\.1:{port}/drop.*cannot be read now.*another try will follow"
        with pytest.raises(SourceUnavailableError, match=where):
            run(contract(path))
        assert time.monotonic() - began < 10


def test_a_place_that_never_answers_is_not_asked_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = threading.Event()
    asked = []

    class Silent:
        def info(self, path: str) -> dict[str, str]:
            asked.append(path)
            answers.wait(60)
            return {"type": "directory"}

    def look(within: float = 0.05) -> None:
        """As a trigger, which connects anew after each failure."""
        Remote(Silent, "/drop", "hdfs://silent/drop", "other_place", answers_within=within).check()

    def is_silent() -> None:
        with pytest.raises(SourceUnavailableError, match=r"hdfs://silent/drop .* no answer within 0\.05 s"):
            look()

    for _ in range(10):
        is_silent()
    assert len(asked) == remote.MOST_PENDING
    # A question to a machine that is gone never ends.
    monkeypatch.setattr(remote, "PENDING_S", 0)
    is_silent()
    monkeypatch.undo()
    answers.set()
    until(lambda: all(one.done() for _, one in remote._pending["hdfs://silent/drop"]), 10, "answers")
    look(30)
