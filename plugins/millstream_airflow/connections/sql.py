"""Databases, by connections of any type whose hook is one of SQL."""

from __future__ import annotations

import socket
from typing import Any

from airflow.providers.common.sql.hooks.sql import DbApiHook
from airflow.sdk import BaseHook, Connection
from airflow.sdk.exceptions import AirflowException
from sqlalchemy import URL, Engine, NullPool, create_engine, event
from sqlalchemy.exc import NoSuchModuleError

from millstream.errors import ConfigurationError
from millstream_airflow.connections import HOW_TO_INSTALL

# Left to its defaults a driver waits without end for a server that takes the connection and says nothing, or
# that is gone in the midst of a query. Each has other names for bounds.
BOUNDS: dict[str, dict[str, Any]] = {
    "postgresql": {
        "connect_timeout": 30,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
    },
    # The second until it is connected (`_patient`).
    **{dialect: {"connect_timeout": 30, "read_timeout": 30} for dialect in ("mariadb", "mysql")},
}
# By name, because macOS does not have all of them.
KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
# Airflow's provider of MySQL needs a client in C, which has no wheels for Linux.
PYMYSQL = ("mariadb", "mysql")
# What a connection's extra may say of it, in PyMySQL's words.
PYMYSQL_OPTIONS = ("ssl", "ssl_ca", "ssl_cert", "ssl_key", "ssl_verify_cert", "ssl_verify_identity")


def resolved(connection: str) -> Engine:
    defined = BaseHook.get_connection(connection)
    kind = defined.conn_type
    try:
        # A task reads its slice and ends: a pool would only keep the connection open.
        if (dialect := (kind or "").partition("+")[0]) in PYMYSQL:
            engine = _by_pymysql(dialect, defined)
        else:
            engine = _hook(connection, kind).get_sqlalchemy_engine({"poolclass": NullPool})
        event.listen(engine, "do_connect", _bounded)
        return engine
    except (ImportError, NoSuchModuleError) as error:
        raise ConfigurationError(
            f"connection {connection}: its type, {kind}, has no SQLAlchemy driver here: {error}. Install the "
            f"driver. {HOW_TO_INSTALL}"
        ) from error


def _hook(connection: str, kind: str | None) -> DbApiHook:
    try:
        hook = BaseHook.get_hook(connection)
    except (AirflowException, AttributeError) as error:
        raise _unknown_type(connection, kind) from error
    if not isinstance(hook, DbApiHook):
        raise ConfigurationError(
            f"connection {connection}: its type, {kind}, is no SQL database; correct it, or name another"
        )
    return hook


def _by_pymysql(dialect: str, defined: Connection) -> Engine:
    url = URL.create(
        f"{dialect}+pymysql",
        defined.login,
        defined.password,
        defined.host or "localhost",
        defined.port or 3306,
        defined.schema,
    )
    options = _pymysql_options(defined)
    engine = create_engine(url, poolclass=NullPool, connect_args=options)
    event.listen(engine, "connect", _patient)
    return engine


def _pymysql_options(defined: Connection) -> dict[str, Any]:
    given: dict[str, Any] = defined.extra_dejson
    # One that is left out in silence may be what should have encrypted the connection.
    if unknown := sorted(given.keys() - set(PYMYSQL_OPTIONS)):
        raise ConfigurationError(
            f"connection {defined.conn_id}: its extra has {', '.join(unknown)}, which is not known here; "
            f"known are {', '.join(PYMYSQL_OPTIONS)}"
        )
    if not isinstance(given.get("ssl", {}), dict):
        raise ConfigurationError(
            f"connection {defined.conn_id}: ssl in its extra is no object; known beside it are "
            f"{', '.join(PYMYSQL_OPTIONS[1:])}"
        )
    # Without it PyMySQL reads the CA, and checks nothing by it.
    return {"ssl_verify_identity": True, **given} if given.get("ssl_ca") else given


def _patient(connection: Any, record: Any) -> None:
    """Once the server has let the driver in, a query may take as long as it takes, but not that of a machine
    which is gone. The driver has one bound for both."""
    connection._read_timeout = None
    for name, value in KEEPALIVE.items():
        if (option := getattr(socket, name, None)) is not None:
            connection._sock.setsockopt(socket.IPPROTO_TCP, option, value)


def _bounded(dialect: Any, record: Any, arguments: Any, named: dict[str, Any]) -> None:
    for name, value in BOUNDS.get(dialect.name, {}).items():
        named.setdefault(name, value)


def _unknown_type(connection: str, kind: str | None) -> ConfigurationError:
    if not kind:
        return ConfigurationError(
            f"connection {connection}: it has no type; choose the database's, for example postgres"
        )
    return ConfigurationError(
        f"connection {connection}: its type, {kind}, is not known here. Correct it; or install the Airflow "
        f"provider that brings it, mostly apache-airflow-providers-{kind.replace('_', '-')}. {HOW_TO_INSTALL}"
    )
