"""The service `dashboards`: an index, a login, and every notebook of `dashboards/` without its code.

Who may see DAGs in Airflow may look: Airflow is asked, and a signed cookie remembers it for a day.
"""

from __future__ import annotations

import argparse
import ast
import html
import re
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

import httpx
import marimo
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.middleware.sessions import SessionMiddleware

from millstream.settings import Settings

NOTEBOOKS = "/d"
# Names of notebooks: what stands for itself in an address, and not first an underscore.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
# What answers without a login.
OPEN = ("/health", "/login")
DAY_S = 24 * 3600
AIRFLOW_TIMEOUT_S = 30.0
LONGEST_FORM = 4096
USER = "user"
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1rem }}
body {{ color: #1f2933 }} a {{ color: #0b5cad }} li {{ margin: .6rem 0 }}
input {{ display: block; margin: .2rem 0 1rem; padding: .4rem; width: 20rem }}
button {{ padding: .4rem 1.2rem }} .wrong {{ color: #b42318 }} .quiet {{ color: #52606d }}
</style></head><body><h1>{title}</h1>{body}</body></html>"""
FORM = """<p class="quiet">With your login of <a href="{airflow}">Airflow</a>.</p>{wrong}
<form method="post" action="login"><input type="hidden" name="next" value="{next}">
<label>User<input name="user" autocomplete="username" required autofocus></label>
<label>Password<input name="password" type="password" autocomplete="current-password" required></label>
<button>Log in</button></form>"""
NONE = (
    "<p>There is no notebook in <code>{folder}</code> yet: "
    "<code>stack/run marimo edit {folder}/mine.py</code> makes one.</p>"
)
# A page loads nothing from elsewhere, and stands in no other page. Charts are compiled in the browser.
POLICY = "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; frame-ancestors 'none'"
GUARDS = ((b"content-security-policy", POLICY.encode()), (b"referrer-policy", b"same-origin"))
App = Callable[[Any, Any, Any], Awaitable[None]]


class RequireLogin:
    """Sends who has not logged in to the login, and refuses their WebSockets."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *GUARDS]
            await send(message)

        if _is_foreign(scope):
            await _refuse(scope, receive, send_guarded)
            return
        known = scope["type"] == "lifespan" or scope["session"].get(USER) or scope["path"] in OPEN
        if known:
            await self._app(scope, receive, send_guarded)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 4401})
        else:
            asked = scope["path"] + (f"?{query}" if (query := scope["query_string"].decode()) else "")
            response = RedirectResponse(f"/login?next={quote(asked, safe='/')}", 303)
            await response(scope, receive, send_guarded)


def _is_foreign(scope: Any) -> bool:
    """Whether a page of another address asks: a cookie is one for all ports of a machine."""
    headers = {name: value.decode("latin-1") for name, value in scope.get("headers", ())}
    origin = headers.get(b"origin")
    reads_only = scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
    return origin is not None and not reads_only and origin.partition("://")[2] != headers.get(b"host")


async def _refuse(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 4403})
    else:
        said = "asked from another address than this service's; a proxy has to pass on the header Host"
        await PlainTextResponse(said, 403)(scope, receive, send)


def notebooks(folder: Path) -> dict[str, str]:
    """Of each notebook that is served its name and the first line of what its file says of itself."""
    found = {}
    for path in sorted(folder.glob("*.py")):
        if NAME.fullmatch(path.stem) is None:
            continue
        try:
            said = ast.get_docstring(ast.parse(path.read_bytes())) or ""
        except (SyntaxError, ValueError, OSError) as error:
            said = f"cannot be read: {error}"
        found[path.stem] = said.partition("\n")[0]
    return found


def _is_served(path: str, scope: Any) -> bool:
    """Whether a path below `NOTEBOOKS` is of a notebook that the index lists."""
    return NAME.fullmatch(path.partition("/")[0]) is not None


def make_app(settings: Settings, airflow_api: str = "") -> App:
    """The whole service; `airflow_api` is where Airflow answers from here, where that is another address."""
    folder = settings.project / "dashboards"
    asked = airflow_api or settings.airflow_url
    pages = FastAPI(openapi_url=None)

    @pages.get("/health")
    def health() -> dict[str, str]:
        return {"status": "healthy"}

    @pages.get("/login")
    def login_form(request: Request) -> HTMLResponse:
        return _form(settings, _within(request.query_params.get("next", "/")))

    @pages.post("/login")
    async def login(request: Request) -> Response:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > LONGEST_FORM:
                return HTMLResponse("that is no login", 413)
        fields = parse_qs(body.decode(errors="replace"))
        user, password, target = (fields.get(name, [""])[0] for name in ("user", "password", "next"))
        if wrong := await _refused(asked, user, password):
            return _form(settings, _within(target), wrong)
        request.session[USER] = user
        return RedirectResponse(_within(target), 303)

    @pages.get("/")
    def index() -> HTMLResponse:
        lines = [
            f'<li><a href="{NOTEBOOKS[1:]}/{name}/">{html.escape(name)}</a> {html.escape(said)}</li>'
            for name, said in notebooks(folder).items()
        ]
        shown = f"<ul>{''.join(lines)}</ul>" if lines else NONE.format(folder=html.escape(str(folder)))
        links = f'<a href="{settings.airflow_url}">Airflow</a>, <a href="{settings.mlflow_url}">MLflow</a>'
        return HTMLResponse(PAGE.format(title="Dashboards", body=f'{shown}<p class="quiet">{links}</p>'))

    served = (
        marimo.create_asgi_app(quiet=True, show_tracebacks=True)
        .with_dynamic_directory(path=NOTEBOOKS, directory=str(folder), validate_callback=_is_served)
        .build()
    )
    pages.mount("/", served)
    # A new process does not know the cookies of the one before it.
    key = secrets.token_urlsafe(32)
    return SessionMiddleware(
        RequireLogin(pages), key, session_cookie="dashboards", max_age=DAY_S, same_site="strict"
    )


def _within(target: str) -> str:
    """A path of this service: no other address, however a browser reads it."""
    return target if target.startswith("/") and not target.startswith(("//", "/\\")) else "/"


def _form(settings: Settings, target: str, wrong: str = "") -> HTMLResponse:
    said = f'<p class="wrong">{html.escape(wrong)}</p>' if wrong else ""
    body = FORM.format(airflow=settings.airflow_url, wrong=said, next=html.escape(target, quote=True))
    return HTMLResponse(PAGE.format(title="Dashboards", body=body), 401 if wrong else 200)


async def _refused(airflow: str, user: str, password: str) -> str:
    """Why Airflow does not let them in; nothing when it does."""
    login = {"username": user, "password": password}
    try:
        async with httpx.AsyncClient(base_url=airflow, timeout=AIRFLOW_TIMEOUT_S, trust_env=False) as client:
            answer = await client.post("/auth/token", json=login)
            if answer.status_code == httpx.codes.UNAUTHORIZED:
                return "Airflow does not know this user with this password."
            if answer.is_success:
                token = {"Authorization": f"Bearer {answer.json()['access_token']}"}
                # Somebody without a role has a login as well.
                answer = await client.get("/api/v2/dags", params={"limit": 1}, headers=token)
    except (httpx.HTTPError, ValueError, KeyError) as error:
        what = error if isinstance(error, httpx.HTTPError) else "its answer is not understood"
        return (
            f"Airflow at {airflow} does not answer, and it knows the logins: {what or type(error).__name__}"
        )
    if answer.status_code == httpx.codes.FORBIDDEN:
        return "Airflow knows this user, who may see nothing there: ask for the role Viewer."
    return "" if answer.is_success else f"Airflow answered with {answer.status_code}: see its log."


def main() -> None:
    parser = argparse.ArgumentParser(prog="dashboards", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--airflow", default="", help="where Airflow answers, if not where browsers find it")
    asked = parser.parse_args()
    uvicorn.run(make_app(Settings(), asked.airflow), host=asked.host, port=asked.port, log_level="warning")


if __name__ == "__main__":
    main()
