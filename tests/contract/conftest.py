"""Servers of sources, each started once for all tests: PostgreSQL, OpenSSH's SFTP, and one that speaks S3;
and what lands files of other places."""

from __future__ import annotations

import os

import pytest
import sqlalchemy as sa

from tests.support.other_places import land
from tests.support.postgres_server import PostgresServer
from tests.support.s3_server import GO, S3Server
from tests.support.sftp_server import SSHD, SftpServer
from tests.support.sql_runs import at, run


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    server = PostgresServer(tmp_path_factory.mktemp("postgres"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def sftp_server(tmp_path_factory):
    if SSHD is None:
        # Continuous integration installs it.
        assert not os.environ.get("CI"), "no sshd here: install openssh-server"
        pytest.skip("no sshd here: install openssh-server")
    server = SftpServer(tmp_path_factory.mktemp("sftp"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory):
    # Of tests that are thorough: continuous integration has no Go.
    if GO is None:
        pytest.skip("no go here, which builds the server: install Go")
    server = S3Server(tmp_path_factory.mktemp("s3"))
    yield server
    server.stop()


@pytest.fixture
def postgres(server):
    engine = sa.create_engine(server.url, poolclass=sa.NullPool)
    yield engine
    run(
        engine,
        "DROP SCHEMA public CASCADE",
        "CREATE SCHEMA public",
        "GRANT USAGE ON SCHEMA public TO PUBLIC",
    )


@pytest.fixture
def sqlite(tmp_path):
    engine = sa.create_engine(f"sqlite:///{tmp_path}/source.db", poolclass=sa.NullPool)
    run(engine, "CREATE TABLE other (id INTEGER)")
    return engine


# The first of them may fetch the server.
OF_MARIADB = pytest.param("mariadb", marks=[pytest.mark.thorough, pytest.mark.timeout(900)])


@pytest.fixture(params=["sqlite", "postgres", OF_MARIADB])
def engine(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def lake(tmp_path):
    return tmp_path / "lake"


@pytest.fixture
def register(engine):
    run(
        engine,
        "CREATE TABLE planes (tailnum VARCHAR(6) NOT NULL PRIMARY KEY, seats INTEGER, updated_at TIMESTAMP)",
        f"INSERT INTO planes VALUES ('N1', 1, '{at(1)}'), ('N2', 2, '{at(2)}'), ('N3', 3, '{at(2)}')",
    )
    return engine


@pytest.fixture(name="run")
def run_of_files(tmp_path):
    def run(of, key="r1", partitions=()):
        return land(f"file://{tmp_path}/lake", of, key, partitions)

    return run
