"""Connections of type mariadb and mysql: what PyMySQL is given of them, and what is refused."""

from __future__ import annotations

import json
import runpy
import socket
import ssl
from types import SimpleNamespace

import pymysql
import pytest
from sqlalchemy import event

from millstream.errors import ConfigurationError
from millstream_airflow.connections import sql


@pytest.fixture
def connect(monkeypatch):
    def connect(**connection) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_OTHER_SYSTEM", json.dumps(connection))

    return connect


@pytest.mark.parametrize("kind", ["mariadb", "mysql"])
def test_mariadb_needs_no_provider(connect, kind):
    connect(conn_type=kind, host="db.example", login="reader", password="s3cret@/", schema="shop")
    engine = sql.resolved("other_system")
    url = engine.url.render_as_string(hide_password=False)
    assert url == f"{kind}+pymysql://reader:s3cret%40%2F@db.example:3306/shop"
    assert "s3cret" not in repr(engine)


@pytest.mark.parametrize(
    ("options", "mode", "by_name"),
    [
        ({}, ssl.CERT_REQUIRED, True),
        ({"ssl_verify_identity": False, "ssl_verify_cert": True}, ssl.CERT_REQUIRED, False),
        ({"ssl_verify_identity": False}, ssl.CERT_NONE, False),
    ],
)
def test_mariadb_is_checked_by_its_ca(connect, options, mode, by_name):
    authorities = ssl.get_default_verify_paths().cafile
    connect(conn_type="mariadb", host="db.example", extra={"ssl_ca": authorities, **options})
    engine = sql.resolved("other_system")
    # As the driver gets them, but for the server, which is not to be asked.
    made = []

    @event.listens_for(engine, "do_connect")
    def connection(dialect, record, arguments, named):
        made.append(pymysql.Connection(*arguments, **named, defer_connect=True))
        raise ConnectionRefusedError

    with pytest.raises(ConnectionRefusedError):
        engine.connect()
    [client] = made
    assert (client.ctx.verify_mode, client.ctx.check_hostname) == (mode, by_name)
    # Or it would go on without TLS where the server has none.
    assert client._ssl_required


@pytest.mark.parametrize(
    ("extra", "cause"),
    [
        (
            {"ssl_mode": "s3cret", "charset": "s3cret", "ssl_ca": "/etc/ca.pem"},
            "its extra has charset, ssl_mode, which is not known here; known are ssl, ssl_ca, ssl_cert, "
            "ssl_key, ssl_verify_cert, ssl_verify_identity",
        ),
        (
            {"ssl": "s3cret"},
            "ssl in its extra is no object; known beside it are ssl_ca, ssl_cert, ssl_key, ssl_verify_cert, "
            "ssl_verify_identity",
        ),
    ],
)
def test_mariadb_options_that_are_not_known_are_refused(connect, extra, cause):
    connect(conn_type="mariadb", host="db.example", extra=extra)
    with pytest.raises(ConfigurationError) as refused:
        sql.resolved("other_system")
    assert str(refused.value) == f"connection other_system: {cause}"


def test_mariadb_where_the_system_has_not_every_option_of_keepalive(monkeypatch):
    monkeypatch.delattr(socket, "TCP_KEEPIDLE")
    with socket.socket() as ours:
        client = SimpleNamespace(_sock=ours, _read_timeout=30)
        # Anew: the module as such a system imports it.
        runpy.run_path(str(sql.__file__))["_patient"](client, None)
        assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 10
    assert client._read_timeout is None
