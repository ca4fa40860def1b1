"""Data Docs in Airflow's web server, behind Airflow's login.

Airflow mounts a plugin's app as it is, without asking for a login, so each of our routes depends on Airflow's
own check. The plugin file is executed in every Airflow process, so nothing heavy is imported before the first
request.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote

from millstream.settings import Settings
from millstream_airflow.streams_page import streams_page

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import Receive, Scope, Send

PREFIX = "/millstream"
# A page shows values from the data: whatever they hold, it may run no script and load nothing.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-store",
}
LOGIN_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="UTF-8"><title>Log in</title></head>
<body><p>This page needs Airflow's login: <a href="/api/v2/auth/login?next={target}">log in</a>.</p></body>
</html>
"""


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """The ASGI app that the plugin mounts below `PREFIX`."""
    await _application()(scope, receive, send)


@cache
def _application() -> FastAPI:
    return build(Settings().lake_root)


def build(lake_root: str) -> FastAPI:
    """The Data Docs of the lake at `lake_root`, and the page of its streams.

    Answers: 401 without a login, 403 to a user who may not see Airflow's website, 404 for anything that is
    not a page of Data Docs, 503 while the lake's storage fails.
    """
    from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
    from airflow.api_fastapi.core_api.security import requires_access_view
    from fastapi import Depends, FastAPI, HTTPException, Request
    from fastapi.exception_handlers import http_exception_handler
    from fastapi.responses import HTMLResponse, Response

    from millstream.errors import MillstreamError
    from millstream.lake.storage import Storage
    from millstream.quality.docs_index import Pages

    docs = Pages(Storage(lake_root))
    pages = FastAPI(
        title="Millstream pages",
        dependencies=[Depends(requires_access_view(AccessView.WEBSITE))],
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )

    @pages.get("/data-docs/{page:path}")
    def data_docs(page: str, table: str | None = None) -> HTMLResponse:
        content = docs.index(table or None) if page in ("", "index.html") else docs.page(page)
        if content is None:
            raise HTTPException(404, "no such page")
        return HTMLResponse(content, headers=HEADERS)

    @pages.get("/streams/")
    def streams() -> HTMLResponse:
        return HTMLResponse(streams_page(lake_root, datetime.now(UTC)), headers=HEADERS)

    async def refusal(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 401 and "text/html" in request.headers.get("accept", ""):
            asked = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
            target = escape(quote(asked, safe="/"))
            return HTMLResponse(LOGIN_PAGE.format(target=target), 401, HEADERS)
        return await http_exception_handler(request, error)

    async def failure(request: Request, error: Exception) -> Response:
        return await http_exception_handler(request, HTTPException(503, str(error)))

    pages.add_exception_handler(HTTPException, refusal)
    pages.add_exception_handler(MillstreamError, failure)
    return pages
