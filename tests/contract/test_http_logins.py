"""Logins to APIs by OAuth 2.0 and by a key among the parameters, on a real server that checks them."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from millstream.errors import ConfigurationError, SourceDataError, SourceUnavailableError
from millstream.lake.storage import Storage
from millstream.landing.manifest import Manifest
from millstream.landing.run import Landing
from millstream.sources.http import HttpExtractor
from millstream.sources.http_auth import ApiKey, ClientCredentials
from millstream.sources.http_client import HttpEndpoint, Patience
from tests.support.loopback import serve
from tests.support.weather_contract import weather

SIZE = 3
RECORDS = [{"origin": "EWR", "time_hour": f"2013-01-01T{hour:02d}:00:00Z"} for hour in range(7)]
CLIENT = ("collector", "s3cret/of+it")
KEY = "k3y&of+it"
BASIC = "Basic " + base64.b64encode(":".join(CLIENT).encode()).decode()


class Api:
    """Pages for who has the newest token, or the key. `refused`: how many of the next requests the token is
    not taken for; `token_answer` takes the place of a token."""

    def __init__(self) -> None:
        self.tokens = 0
        self.lasts: Any = 3600
        self.refused = 0
        self.asked_for: list[dict[str, Any]] = []
        self.token_answer: Response | None = None
        self.pages = 0
        self.url = ""
        self.app = FastAPI()
        self.app.post("/token")(self.token)
        self.app.get("/pages")(self.page)
        self.app.get("/keyed")(self.keyed)

    async def token(self, request: Request) -> Response:
        form = dict(await request.form())
        self.asked_for.append({**form, "header": request.headers.get("Authorization")})
        if self.token_answer is not None:
            return self.token_answer
        self.tokens += 1
        return JSONResponse(
            {"access_token": f"token-{self.tokens}", "token_type": "Bearer", "expires_in": self.lasts}
        )

    def page(self, request: Request, offset: int, limit: int) -> Any:
        if self.refused or request.headers.get("Authorization") != f"Bearer token-{self.tokens}":
            self.refused = max(0, self.refused - 1)
            return Response(status_code=401)
        self.pages += 1
        return {"results": RECORDS[offset : offset + limit]}

    def keyed(self, key: str, place: int = 0) -> Any:
        if key == "wrong-place":
            return Response(f"no place for {key}", status_code=422)
        if key != KEY:
            return Response(status_code=403)
        following = f"/keyed?place={place + SIZE}&key=seen" if place + SIZE < len(RECORDS) else None
        return {"results": RECORDS[place : place + SIZE], "next": following}


@pytest.fixture
def api() -> Iterator[Api]:
    api = Api()
    with serve(api.app) as api.url:
        yield api


def land(api: Api, lake: Path, auth: Any, **source: Any) -> Manifest:
    given = {"kind": "http", "connection": "other", "endpoint": "/pages", "page_size": SIZE, **source}
    endpoint = HttpEndpoint(api.url, auth=auth, hidden_params=frozenset({"key"}))
    extractor = HttpExtractor(
        weather(source=given, load="full"), endpoint, Patience(sleep=lambda _: None, tries=2)
    )
    landing = Landing(Storage(f"file://{lake}"), "weather", "1")
    files = [file for piece in extractor.plan([]) for file in extractor.fetch(piece, landing)]
    return landing.commit([], files)


def credentials(api: Api, **more: Any) -> ClientCredentials:
    return ClientCredentials("other", f"{api.url}/token", CLIENT, **more)


def rows(manifest: Manifest) -> int:
    return sum(file.rows or 0 for file in manifest.files)


def test_one_token_serves_all_pages(api: Api, tmp_path: Path) -> None:
    manifest = land(api, tmp_path, credentials(api, scope="read"))
    assert (rows(manifest), api.tokens) == (7, 1)
    assert api.asked_for == [{"grant_type": "client_credentials", "scope": "read", "header": BASIC}]


def test_the_client_may_stand_in_the_body(api: Api, tmp_path: Path) -> None:
    land(api, tmp_path, credentials(api, in_body=True))
    name, secret = CLIENT
    assert api.asked_for == [
        {"grant_type": "client_credentials", "client_id": name, "client_secret": secret, "header": None}
    ]


def test_a_token_that_ends_in_the_midst_is_renewed(api: Api, tmp_path: Path) -> None:
    moments = iter(range(0, 10_000, 60))
    api.lasts = "100"
    manifest = land(api, tmp_path, credentials(api, clock=lambda: float(next(moments))))
    assert rows(manifest) == 7
    assert api.tokens > 1


def test_a_token_that_is_taken_no_longer_is_renewed_once(api: Api, tmp_path: Path) -> None:
    auth = credentials(api)
    land(api, tmp_path / "first", auth)
    api.refused = 1
    assert rows(land(api, tmp_path / "second", auth)) == 7
    assert api.tokens == 2
    api.refused = 99
    with pytest.raises(ConfigurationError, match=r"login was refused \(401.* connection other"):
        land(api, tmp_path / "third", auth)
    assert api.tokens == 3


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (JSONResponse({"error": "invalid_client"}, 401), ConfigurationError, r"\(401 invalid_client\)"),
        (JSONResponse({"error": "invalid_scope", "error_description": "no"}, 400), ConfigurationError, "no"),
        (Response("<html>", 200), ConfigurationError, "the answer is no bearer token"),
        (JSONResponse({"access_token": "x", "token_type": "mac"}), ConfigurationError, "no bearer token"),
        (Response(status_code=503), SourceUnavailableError, "503 instead of a token"),
    ],
)
def test_a_server_that_gives_no_token_is_told_apart(
    api: Api, tmp_path: Path, answer: Response, error: type[Exception], said: str
) -> None:
    api.token_answer = answer
    with pytest.raises(error, match=said) as caught:
        land(api, tmp_path, credentials(api))
    assert CLIENT[1] not in str(caught.value)
    assert api.pages == 0


def test_a_key_goes_along_and_is_written_nowhere(
    api: Api, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    source = {"endpoint": "/keyed", "paging": "next_link", "size_param": None}
    manifest = land(api, tmp_path, ApiKey("key", KEY), **source)
    assert rows(manifest) == 7
    assert [file.source.removeprefix(api.url) for file in manifest.files] == [
        "/keyed",
        "/keyed?place=3",
        "/keyed?place=6",
    ]
    written = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) == 4
    for form in (KEY, "k3y%26of%2Bit"):
        assert not any(form in text for text in [*written, caplog.text])


def test_a_key_that_is_refused_is_not_told(api: Api, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"login was refused \(403") as caught:
        land(api, tmp_path, ApiKey("key", "wr0ng"), endpoint="/keyed")
    assert "wr0ng" not in str(caught.value)
    with pytest.raises(SourceDataError, match=r"the request was refused \(422") as refused:
        land(api, tmp_path, ApiKey("key", "wrong-place"), endpoint="/keyed")
    assert "wrong-place" not in str(refused.value)
