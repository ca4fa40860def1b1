"""Logins to APIs that are more than a header: a token that is asked for first, and a key among parameters."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Any

import httpx

from millstream.errors import ConfigurationError, SourceUnavailableError

SERVER_ERRORS = 500
TRANSIENT = (408, 425, 429)
# A token that ends while the request is on its way is of no use.
MARGIN_S = 10.0
SHOWN_CHARACTERS = 200

Flow = Generator[httpx.Request, httpx.Response, None]


class ApiKey(httpx.Auth):
    """A key that goes along as a parameter of the address; no other part of a program sees it there."""

    def __init__(self, name: str, key: str) -> None:
        self._name = name
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Flow:
        request.url = request.url.copy_set_param(self._name, self._key)
        yield request


class ClientCredentials(httpx.Auth):
    """A bearer token for the program itself, by OAuth 2.0 (RFC 6749, section 4.4).

    It is asked for with the first request, again when `expires_in` has passed, and once more when the API
    takes it no longer. It is held in memory alone. `in_body`: whether id and secret stand among the token
    request's fields and not in its header (section 2.3.1).

    Raises: ConfigurationError: the server refuses to give a token, or gives none that can be used;
    SourceUnavailableError: it cannot answer now.
    """

    requires_response_body = True

    def __init__(
        self,
        connection: str,
        token_url: str,
        client: tuple[str, str],
        scope: str | None = None,
        in_body: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._url = token_url
        self._client = client
        self._scope = scope
        self._in_body = in_body
        self._clock = clock
        self._token: str | None = None
        self._ends = 0.0

    def auth_flow(self, request: httpx.Request) -> Flow:
        fresh = self._token is None or self._clock() >= self._ends
        if fresh:
            self._take((yield self._asking()))
        request.headers["Authorization"] = f"Bearer {self._token}"
        answer = yield request
        if answer.status_code == httpx.codes.UNAUTHORIZED and not fresh:
            self._take((yield self._asking()))
            request.headers["Authorization"] = f"Bearer {self._token}"
            yield request

    def _asking(self) -> httpx.Request:
        fields = {"grant_type": "client_credentials"}
        if self._scope:
            fields["scope"] = self._scope
        if self._in_body:
            fields["client_id"], fields["client_secret"] = self._client
        request = httpx.Request("POST", self._url, data=fields, headers={"Accept": "application/json"})
        return request if self._in_body else next(httpx.BasicAuth(*self._client).auth_flow(request))

    def _take(self, answer: httpx.Response) -> None:
        status = answer.status_code
        if status >= SERVER_ERRORS or status in TRANSIENT:
            raise SourceUnavailableError(
                f"{self._url}: the server answered {status} instead of a token; another try will follow"
            )
        given = _json(answer)
        if not answer.is_success:
            said = " ".join(str(given[name]) for name in ("error", "error_description") if name in given)
            raise ConfigurationError(
                f"{self._url}: no token was given ({status} {said[:SHOWN_CHARACTERS]}".rstrip()
                + f"). Correct client id, secret and scope in connection {self._connection}"
            )
        token, kind = given.get("access_token"), str(given.get("token_type", "bearer"))
        if not isinstance(token, str) or not token.isprintable() or kind.lower() != "bearer":
            raise ConfigurationError(
                f"{self._url}: the answer is no bearer token. Correct token_url in connection "
                f"{self._connection}"
            )
        self._token = token
        self._ends = self._clock() + _seconds(given.get("expires_in")) - MARGIN_S


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        given = answer.json()
    except ValueError:
        return {}
    return given if isinstance(given, dict) else {}


def _seconds(value: Any) -> float:
    """How long a token lasts; one of which that is not said is used until it is refused."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("inf")
