"""Makes the extractor of a contract's Airflow connection.

The hooks of Airflow's providers read the connection, with one exception: an HTTP connection with a password
and no login means a bearer token.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from airflow.providers.common.sql.hooks.sql import DbApiHook
from airflow.providers.http.hooks.http import HttpHook
from airflow.providers.standard.hooks.filesystem import FSHook
from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException
from pydantic import ValidationError
from requests import Session
from requests.auth import HTTPBasicAuth
from requests.utils import default_headers
from sqlalchemy import Engine, NullPool
from sqlalchemy.exc import NoSuchModuleError

from millstream.contracts.contract import Contract
from millstream.contracts.source import KafkaSource
from millstream.errors import ConfigurationError
from millstream.sources import (
    Extractor,
    FilesExtractor,
    FileSlice,
    HttpEndpoint,
    HttpExtractor,
    HttpSlice,
    Slice,
    SqlExtractor,
    SqlSlice,
)

HOW_TO_INSTALL = (
    "Add it to the dependencies in pyproject.toml, lock it as "
    "docs/adr/0011-one-locked-environment.md says, run `make`, and start the stack again"
)
_SLICES: dict[str, type[Slice]] = {"files": FileSlice, "http": HttpSlice, "sql": SqlSlice}


def extractor_for(contract: Contract) -> Extractor:
    """The extractor of a contract's source, connected as its Airflow connection says.

    Raises ConfigurationError when the connection is not defined or is of another kind than the source.
    """
    if isinstance(contract.source, KafkaSource):
        raise ConfigurationError(f"{contract.dataset}: a topic is read by a stream, not by tasks of a DAG")
    connection = contract.source.connection
    with _defined(connection):
        match contract.source.kind:
            case "files":
                return FilesExtractor(contract, _folder(connection))
            case "http":
                return HttpExtractor(contract, _endpoint(connection))
            case "sql":
                return SqlExtractor(contract, _engine(connection))


def slice_of(contract: Contract, piece: dict[str, Any]) -> Any:
    """One of the slices that the extractor planned, from its JSON form.

    Raises ConfigurationError when it is not valid, because an XCom was edited.
    """
    try:
        return _SLICES[contract.source.kind].model_validate(piece)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in error.errors()
        )
        raise ConfigurationError(
            f"{contract.dataset}: not a slice that plan returned: {wrong}. Nothing was fetched. Clear the "
            "plan task of this run"
        ) from error


def _folder(connection: str) -> Path:
    path = FSHook(connection).get_path()
    if not path:
        raise ConfigurationError(f"connection {connection}: its extra names no path, for example /data/drop")
    return Path(path)


def _endpoint(connection: str) -> HttpEndpoint:
    hook = HttpHook(http_conn_id=connection)
    session = hook.get_conn()
    headers = {name: str(value) for name, value in _given_headers(session).items()}
    password = hook.get_connection(connection).password
    if session.auth is None and password:
        headers.setdefault("Authorization", f"Bearer {password}")
    return HttpEndpoint(
        base_url=hook.base_url, auth=_basic(session.auth), headers=headers, verify=_verification(session)
    )


def _given_headers(session: Session) -> dict[str, Any]:
    """The headers of the connection's extra, without those that `requests` puts on every session."""
    usual = default_headers()
    return {name: value for name, value in session.headers.items() if usual.get(name) != value}


def _basic(auth: Any) -> httpx.Auth | None:
    return httpx.BasicAuth(auth.username, auth.password) if isinstance(auth, HTTPBasicAuth) else None


def _verification(session: Session) -> bool | ssl.SSLContext:
    """Whether to check certificates; a path in the connection's `verify` names the authorities to trust."""
    if isinstance(session.verify, str):
        return ssl.create_default_context(cafile=session.verify)
    return bool(session.verify)


def _engine(connection: str) -> Engine:
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
        return hook.get_sqlalchemy_engine({"poolclass": NullPool})
    except (ImportError, NoSuchModuleError) as error:
        raise ConfigurationError(
            f"connection {connection}: its type, {kind}, has no SQLAlchemy driver here: {error}. Install the "
            f"driver. {HOW_TO_INSTALL}"
        ) from error


def _unknown_type(connection: str, kind: str | None) -> ConfigurationError:
    if not kind:
        return ConfigurationError(
            f"connection {connection}: it has no type; choose the database's, for example postgres"
        )
    return ConfigurationError(
        f"connection {connection}: its type, {kind}, is not known here. Correct it; or install the Airflow "
        f"provider that brings it, mostly apache-airflow-providers-{kind.replace('_', '-')}. {HOW_TO_INSTALL}"
    )


@contextmanager
def _defined(connection: str) -> Iterator[None]:
    try:
        yield
    except AirflowNotFoundException as error:
        raise ConfigurationError(
            f"connection {connection} is not defined: add it under Admin > Connections, or as the "
            f"environment variable AIRFLOW_CONN_{connection.upper()}"
        ) from error
