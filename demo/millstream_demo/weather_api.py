"""Weather as a paginated HTTP JSON API.

`GET /weather?offset=0&limit=1000[&since=2013-07-01T00:00:00Z]` with `Authorization: Bearer <token>` answers
`{"results": […], "offset": 0, "limit": 1000, "total": 26115}`; `since` keeps observations at or after that
UTC time (`time_hour`). Numbers are JSON numbers; a missing value is the text "NA", as in the reference data.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response

from millstream_demo.reference import MISSING, rows

MAX_PAGE = 5000
TEXT_COLUMNS = frozenset({"origin", "time_hour"})

Interference = Callable[[Request], Awaitable[Response | None]]


def weather_records() -> list[dict[str, Any]]:
    """The hourly observations in the order of the reference data."""
    return [{name: _json_value(name, value) for name, value in row.items()} for row in rows("weather.csv")]


def create_app(records: list[dict[str, Any]], token: str, interfere: Interference | None = None) -> FastAPI:
    """The API over `records`.

    `interfere` may answer a request in the API's place (or delay it): that is how tests make it misbehave.
    No request can switch it on.
    """
    if not token:
        raise ValueError("the weather API needs a token: set MILLSTREAM_DEMO_API_TOKEN")
    app = FastAPI(title="Hourly weather", docs_url=None, redoc_url=None, openapi_url=None)
    if interfere is not None:
        _let_interfere(app, interfere)

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/weather", dependencies=[Depends(_TokenCheck(token))])
    def weather(
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 1000,
        since: str | None = None,
    ) -> dict[str, Any]:
        wanted = records if since is None else [row for row in records if row["time_hour"] >= since]
        return {
            "results": wanted[offset : offset + limit],
            "offset": offset,
            "limit": limit,
            "total": len(wanted),
        }

    return app


class _TokenCheck:
    """Refuses requests that do not carry the bearer token."""

    def __init__(self, token: str) -> None:
        self._expected = f"Bearer {token}".encode()

    def __call__(self, request: Request) -> None:
        given = request.headers.get("Authorization", "").encode()
        if not secrets.compare_digest(given, self._expected):
            raise HTTPException(401, "a valid bearer token is needed", {"WWW-Authenticate": "Bearer"})


def _let_interfere(app: FastAPI, interfere: Interference) -> None:
    @app.middleware("http")
    async def middleware(request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
        answer = await interfere(request)
        return await proceed(request) if answer is None else answer


def _json_value(name: str, value: str) -> str | int | float:
    if name in TEXT_COLUMNS or value == MISSING:
        return value
    return float(value) if "." in value or "e" in value else int(value)
