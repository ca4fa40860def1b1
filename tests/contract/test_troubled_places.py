"""Each place on a bad way: a server that says nothing, or stands still or breaks off in the midst.

The run is told so within a bound, with the place and its connection; nothing has landed, and the next try
lands all. What folders of this machine and APIs do is in `test_extract_files` and `test_extract_http`; what
a server that is down does, or one that refuses the login, in the tests of each place.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import sqlalchemy as sa

from millstream.contracts.contract import Contract
from millstream.errors import SourceUnavailableError
from millstream.lake.storage import Storage
from millstream.landing.manifest import Manifest, manifests_of
from millstream.sources import web as web_files
from millstream_airflow.connections import files as connected_files
from millstream_airflow.connections import sql as connected_tables
from tests.support import sql_runs
from tests.support.hadoop import Hdfs
from tests.support.loopback import serve
from tests.support.other_places import contract, land, put, web_app, web_connection
from tests.support.postgres_server import PASSWORD, PostgresServer
from tests.support.s3_server import S3Server
from tests.support.sftp_server import SftpServer
from tests.support.way import Trouble, Way, way

ROWS = 30_000
CONTENT = "id\n" + "".join(f"{number:099d}\n" for number in range(ROWS))
# Of the server's bytes: behind what greets, logs in and describes, and before the end.
MIDST = 1_000_000
BOUND_S = 30.0


class Reached(NamedTuple):
    """A dataset whose source has `ROWS` rows."""

    of: Contract
    way: Way
    where: str


Places = Callable[[str], Reached]


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connected_files, "PATIENCE_S", 1)
    monkeypatch.setattr(web_files, "PATIENCE_S", 1.0)
    monkeypatch.setitem(connected_tables.BOUNDS["postgresql"], "connect_timeout", 2)
    monkeypatch.setitem(connected_tables.BOUNDS["mariadb"], "read_timeout", 2)


@pytest.fixture
def sftp(sftp_server: SftpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reached]:
    folder = sftp_server.files / tmp_path.name
    put(folder / "a.csv", CONTENT)
    with way(sftp_server.port) as reached:
        connection = {**json.loads(sftp_server.connection(path=str(folder))), "port": reached.port}
        monkeypatch.setenv("AIRFLOW_CONN_OTHER_PLACE", json.dumps(connection))
        yield Reached(contract("*.csv"), reached, f"sftp://127.0.0.1:{reached.port}")


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reached]:
    put(tmp_path / "served" / "a.csv", CONTENT)
    with serve(web_app(tmp_path / "served")) as url, way(int(url.rpartition(":")[2])) as reached:
        address = f"http://127.0.0.1:{reached.port}"
        monkeypatch.setenv("AIRFLOW_CONN_OTHER_PLACE", web_connection(address))
        yield Reached(contract("files/a.csv"), reached, f"{address}/files/a.csv")


@pytest.fixture
def table(server: PostgresServer, postgres: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reached]:
    fill = f"INSERT INTO planes SELECT lpad(n::text, 99, '0'), n FROM generate_series(1, {ROWS}) n"
    sql_runs.run(
        postgres, "CREATE TABLE planes (tailnum VARCHAR(99) NOT NULL PRIMARY KEY, seats INTEGER)", fill
    )
    url = server.url
    with way(int(url.port)) as reached:
        connection = {
            "conn_type": "postgres",
            "host": "127.0.0.1",
            "port": reached.port,
            "login": url.username,
            "password": PASSWORD,
            "schema": url.database,
        }
        monkeypatch.setenv("AIRFLOW_CONN_REGISTER", json.dumps(connection))
        yield Reached(
            sql_runs.contract(batch_rows=20_000),
            reached,
            f"table planes of postgresql.*127.0.0.1:{reached.port}",
        )


@pytest.fixture
def mariadb_table(mariadb: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reached]:
    sql_runs.run(
        mariadb,
        "CREATE TABLE planes (tailnum VARCHAR(99) NOT NULL PRIMARY KEY, seats INTEGER)",
        f"INSERT INTO planes SELECT LPAD(seq, 99, '0'), seq FROM seq_1_to_{ROWS}",
    )
    url = mariadb.url
    with way(int(url.port or 0)) as reached:
        address = url.set(drivername="mariadb", port=reached.port).render_as_string(hide_password=False)
        monkeypatch.setenv("AIRFLOW_CONN_REGISTER", address)
        of = sql_runs.contract(batch_rows=20_000)
        yield Reached(of, reached, f"table planes of mariadb.*127.0.0.1:{reached.port}")


@pytest.fixture
def s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reached]:
    s3_server.files.pipe(f"{s3_server.bucket}/a.csv", CONTENT.encode())
    with way(int(s3_server.url.rpartition(":")[2])) as reached:
        address = f"127.0.0.1:{reached.port}"
        monkeypatch.setenv("AIRFLOW_CONN_OTHER_PLACE", s3_server.connection(endpoint_url=f"http://{address}"))
        yield Reached(contract("*.csv", quiet_seconds=0), reached, f"s3://{address}/drop")


@pytest.fixture(scope="module")
def drop_on_hdfs(hdfs: Hdfs) -> Hdfs:
    Storage(f"{hdfs.uri}/troubled").write("a.csv", CONTENT.encode())
    return hdfs


@pytest.fixture
def hdfs_rpc(drop_on_hdfs: Hdfs, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reached]:
    with way(int(drop_on_hdfs.uri.rpartition(":")[2])) as reached:
        yield hdfs_place("hdfs", reached, monkeypatch)


@pytest.fixture
def hdfs_web(drop_on_hdfs: Hdfs, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reached]:
    with way(int(drop_on_hdfs.web.rpartition(":")[2])) as reached:
        yield hdfs_place("webhdfs", reached, monkeypatch)


def hdfs_place(kind: str, reached: Way, monkeypatch: pytest.MonkeyPatch) -> Reached:
    connection = {
        "conn_type": kind,
        "host": "127.0.0.1",
        "port": reached.port,
        "extra": {"path": "/troubled"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_OTHER_PLACE", json.dumps(connection))
    return Reached(contract("*.csv", quiet_seconds=0), reached, f"{kind}://127.0.0.1:{reached.port}/troubled")


AT_ONCE = [("stands still", 0), ("breaks off", 0)]
LATER = [("stands still", MIDST), ("breaks off", MIDST)]
# The files of HDFS come from other servers than its listing.
LARGE = [
    *(("s3", *each) for each in AT_ONCE + LATER),
    *((place, *each) for place in ("hdfs_rpc", "hdfs_web") for each in AT_ONCE),
    *(("mariadb_table", *each) for each in (*AT_ONCE, ("breaks off", MIDST))),
]
CASES = [
    *((place, *each) for place in ("sftp", "web") for each in AT_ONCE + LATER),
    # A query that takes long says nothing either: what bounds it is the run's deadline.
    *(("table", *each) for each in (*AT_ONCE, ("breaks off", MIDST))),
    # Servers that may have to be built or fetched first.
    *(pytest.param(*case, marks=[pytest.mark.thorough, pytest.mark.timeout(2000)]) for case in LARGE),
]


@pytest.mark.parametrize(("place", "trouble", "after"), CASES)
def test_a_bad_way_is_told_soon_nothing_lands_and_a_good_one_heals(
    place: str,
    trouble: Trouble,
    after: int,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reached: Reached = request.getfixturevalue(place)
    lake = f"file://{tmp_path}/lake"

    def run() -> Manifest:
        return land(lake, reached.of, "r1", ())

    reached.way.break_down(trouble, after)
    began = time.monotonic()
    with pytest.raises(SourceUnavailableError, match=reached.where) as told:
        run()
    assert time.monotonic() - began < BOUND_S
    assert f"connection {reached.of.source.connection}; another try will follow" in str(told.value)
    assert str(told.value).isprintable()
    assert not manifests_of(Storage(lake), reached.of.dataset)

    reached.way.mend()
    monkeypatch.setattr(connected_files, "PATIENCE_S", BOUND_S)
    files = run().files
    if place.endswith("table"):
        assert sum(file.rows or 0 for file in files) == ROWS
    else:
        assert files[0].size == len(CONTENT)
