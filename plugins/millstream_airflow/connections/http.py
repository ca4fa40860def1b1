"""APIs, by connections of type `http`. One with a password and no login means a bearer token."""

from __future__ import annotations

import ssl
from typing import Any

import httpx
from airflow.providers.http.hooks.http import HttpHook
from requests import Session
from requests.auth import HTTPBasicAuth
from requests.utils import default_headers

from millstream.sources import HttpEndpoint


def resolved(connection: str) -> HttpEndpoint:
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
