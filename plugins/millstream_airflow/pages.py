"""Data Docs in Airflow's web server, behind Airflow's login.

Airflow mounts a plugin's app as it is, without asking for a login, so each of our routes depends on Airflow's
own check. The plugin file is executed in every Airflow process, so nothing heavy is imported before the first
request.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from html import escape
from pathlib import Path
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
    settings = Settings()
    return build(settings.home / "data_docs", settings.lake_root)


def build(docs_root: Path, lake_root: str) -> FastAPI:
    """The pages below `docs_root`, and that of the streams of the lake.

    Answers: 401 without a login, 403 to a user who may not see Airflow's website, 404 for anything that is
    not an HTML file below `docs_root`.
    """
    from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
    from airflow.api_fastapi.core_api.security import requires_access_view
    from fastapi import Depends, FastAPI, HTTPException, Request
    from fastapi.exception_handlers import http_exception_handler
    from fastapi.responses import FileResponse, HTMLResponse, Response

    pages = FastAPI(
        title="Millstream pages",
        dependencies=[Depends(requires_access_view(AccessView.WEBSITE))],
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )

    @pages.get("/data-docs/{page:path}")
    def data_docs(page: str) -> FileResponse:
        file = page_file(docs_root, page or "index.html")
        if file is None:
            raise HTTPException(404, "no such page")
        return FileResponse(file, media_type="text/html", headers=HEADERS)

    @pages.get("/streams/")
    def streams() -> HTMLResponse:
        return HTMLResponse(streams_page(lake_root, datetime.now(UTC)), headers=HEADERS)

    async def refusal(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 401 and "text/html" in request.headers.get("accept", ""):
            target = escape(quote(str(request.url.path), safe="/"))
            return HTMLResponse(LOGIN_PAGE.format(target=target), 401, HEADERS)
        return await http_exception_handler(request, error)

    pages.add_exception_handler(HTTPException, refusal)
    return pages


def page_file(docs_root: Path, page: str) -> Path | None:
    """The HTML file that `page` names below `docs_root`; None when there is none, or it lies elsewhere."""
    try:
        root = docs_root.resolve()
        file = (root / page).resolve()
        is_page = file.is_relative_to(root) and file.suffix == ".html" and file.is_file()
    except (OSError, ValueError):
        # A name that no file system takes: too long, or with a null byte.
        return None
    return file if is_page else None
