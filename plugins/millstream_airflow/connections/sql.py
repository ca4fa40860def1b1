"""Databases, by connections of any type whose hook is one of SQL."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.sql.hooks.sql import DbApiHook
from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowException
from sqlalchemy import Engine, NullPool, event
from sqlalchemy.exc import NoSuchModuleError

from millstream.errors import ConfigurationError
from millstream_airflow.connections import HOW_TO_INSTALL

# Left to its defaults a driver waits without end for a server that takes the connection and says nothing, or
# that is gone in the midst of a query. Each has other names for bounds. PyMySQL's read_timeout, None by
# default, would also end a query that takes long.
BOUNDS: dict[str, dict[str, Any]] = {
    "postgresql": {
        "connect_timeout": 30,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
    }
}


def resolved(connection: str) -> Engine:
    kind = BaseHook.get_connection(connection).conn_type
    try:
        hook = BaseHook.get_hook(connection)
    except (AirflowException, AttributeError) as error:
        raise _unknown_type(connection, kind) from error
    if not isinstance(hook, DbApiHook):
        raise ConfigurationError(
            f"connection {connection}: its type, {kind}, is no SQL database; correct it, or name another"
        )
    try:
        # A task reads its slice and ends: a pool would only keep the connection open.
        engine = hook.get_sqlalchemy_engine({"poolclass": NullPool})
        event.listen(engine, "do_connect", _bounded)
        return engine
    except (ImportError, NoSuchModuleError) as error:
        raise ConfigurationError(
            f"connection {connection}: its type, {kind}, has no SQLAlchemy driver here: {error}. Install the "
            f"driver. {HOW_TO_INSTALL}"
        ) from error


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
