"""APIs, by connections of type `http`.

The login is basic; a password alone is a bearer token. Extra may say another: `token_url` that login and
password are client id and secret of OAuth 2.0, `api_key_param` that the password is a key among the
parameters.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import httpx
from airflow.providers.http.hooks.http import HttpHook
from requests import Session
from requests.auth import HTTPBasicAuth
from requests.utils import default_headers

from millstream.errors import ConfigurationError
from millstream.sources import HttpEndpoint
from millstream.sources.http_auth import ApiKey, ClientCredentials

if TYPE_CHECKING:
    from airflow.sdk import Connection

# Of extra; what the hook does not know it takes for a header.
OPTIONS = frozenset({"token_url", "scope", "client_authentication", "api_key_param"})


def resolved(connection: str) -> HttpEndpoint:
    hook = HttpHook(http_conn_id=connection)
    session = hook.get_conn()
    given = hook.get_connection(connection)
    headers = {name: str(value) for name, value in _given_headers(session).items()}
    options = {name: value for name, value in given.extra_dejson.items() if name in OPTIONS}
    auth = _login(connection, given, options) if options else _basic(session.auth)
    if auth is None and given.password:
        headers.setdefault("Authorization", f"Bearer {given.password}")
    return HttpEndpoint(
        base_url=hook.base_url,
        auth=auth,
        headers=headers,
        verify=_verification(session),
        hidden_params=frozenset({options["api_key_param"]} if "api_key_param" in options else ()),
    )


def _login(connection: str, given: Connection, options: dict[str, Any]) -> httpx.Auth:
    """The login that extra speaks of. Raises ConfigurationError where it says no whole one."""

    def wrong(why: str) -> ConfigurationError:
        return ConfigurationError(f"connection {connection}: {why}")

    if unwritten := [name for name, value in options.items() if not isinstance(value, str) or not value]:
        raise wrong(f"extra: {', '.join(unwritten)} has to be a text")
    if (name := options.get("api_key_param")) is not None:
        if others := sorted(options.keys() - {"api_key_param"}):
            raise wrong(f"extra: api_key_param goes with none of {', '.join(others)}")
        if not given.password:
            raise wrong("api_key_param needs the key as the password")
        return ApiKey(name, given.password)
    if (url := options.get("token_url")) is None:
        raise wrong(f"extra: {', '.join(options)} means nothing without token_url")
    if not url.startswith(("http://", "https://")):
        raise wrong("extra: token_url has to begin with https://")
    if not given.login or not given.password:
        raise wrong("token_url needs the client id as the login and the client secret as the password")
    if (place := options.get("client_authentication", "basic")) not in ("basic", "body"):
        raise wrong("extra: client_authentication is 'basic' or 'body'")
    client = (given.login, given.password)
    return ClientCredentials(connection, url, client, options.get("scope"), place == "body")


def _given_headers(session: Session) -> dict[str, Any]:
    """The headers of the connection's extra, without those that `requests` puts on every session."""
    usual = default_headers()
    headers = {name: value for name, value in session.headers.items() if usual.get(name) != value}
    return {name: value for name, value in headers.items() if name not in OPTIONS}


def _basic(auth: Any) -> httpx.Auth | None:
    return httpx.BasicAuth(auth.username, auth.password) if isinstance(auth, HTTPBasicAuth) else None


def _verification(session: Session) -> bool | ssl.SSLContext:
    """Whether to check certificates; a path in the connection's `verify` names the authorities to trust."""
    if isinstance(session.verify, str):
        return ssl.create_default_context(cafile=session.verify)
    return bool(session.verify)
