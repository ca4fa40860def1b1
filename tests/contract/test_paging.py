"""The ways in which an API's pages follow each other, each on a real server that knows only this one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException, Request, Response

from millstream.errors import ContractError, SourceDataError, SourceUnavailableError
from millstream.lake.storage import Storage
from millstream.landing.manifest import Manifest
from millstream.landing.run import Landing
from millstream.sources.http import HttpExtractor
from millstream.sources.http_client import HttpEndpoint, Patience
from tests.support.loopback import serve
from tests.support.weather_contract import weather

RECORDS = [{"origin": "EWR", "time_hour": f"2013-01-01T{hour:02d}:00:00Z"} for hour in range(7)]
SIZE = 3
WAYS: dict[str, dict[str, Any]] = {
    "page": {"paging": "page", "page_param": "p", "first_page": 0},
    "cursor": {"paging": "cursor", "page_param": "after", "next_key": "meta.next"},
    "next_link": {"paging": "next_link", "next_key": "links.next"},
    "link_header": {"paging": "link_header", "size_param": "per_page"},
    "post": {
        "method": "POST",
        "body": {"query": {"origin": "EWR"}, "page": {"sort": "time_hour"}},
        "page_param": "page.from",
        "size_param": "page.size",
    },
    "post_link": {
        "method": "POST",
        "body": {"query": "all"},
        "paging": "next_link",
        "next_key": "links.next",
    },
}
ASKED = {
    "page": ["p=0&limit=3", "p=1&limit=3", "p=2&limit=3", "p=3&limit=3"],
    "cursor": ["limit=3", "after=c3&limit=3", "after=c6&limit=3"],
    "next_link": ["limit=3", "token=3", "token=6"],
    "link_header": ["per_page=3", "per_page=3&from=3", "per_page=3&from=6"],
    "post": [
        f'{{"query": {{"origin": "EWR"}}, "page": {{"sort": "time_hour", "from": {place}, "size": 3}}}}'
        for place in (0, 3, 6, 7)
    ],
    "post_link": [f'{query} {{"query": "all", "limit": 3}}'.strip() for query in ("", "token=3", "token=6")],
}


class Api:
    """Records in pages of three; `away` requests after the first fail, `link` takes the place of the next."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.away = 0
        self.refusal = 503
        self.link: str | None = None
        self.url = ""
        self.app = FastAPI()
        for way, source in WAYS.items():
            self.app.api_route(f"/{way}", methods=[source.get("method", "GET")])(getattr(self, way))

    def _page(self, request: Request, place: int, body: bytes = b"") -> list[dict[str, Any]]:
        self.asked.append(f"{request.url.query} {body.decode()}".strip() if body else request.url.query)
        if self.away and len(self.asked) > 1:
            self.away -= 1
            raise HTTPException(self.refusal)
        return RECORDS[place : place + SIZE]

    def page(self, request: Request, limit: int, p: int = 0) -> dict[str, Any]:
        return {"results": self._page(request, p * limit)}

    def cursor(self, request: Request, limit: int, after: str = "c0") -> dict[str, Any]:
        place = int(after[1:])
        following = f"c{place + SIZE}" if place + SIZE < len(RECORDS) else None
        return {"results": self._page(request, place), "meta": {"next": self.link or following}}

    def next_link(self, request: Request, token: int = 0) -> dict[str, Any]:
        following = f"/next_link?token={token + SIZE}" if token + SIZE < len(RECORDS) else ""
        return {"results": self._page(request, token), "links": {"next": self.link or following}}

    def link_header(self, request: Request, per_page: int) -> Response:
        place = int(request.query_params.get("from", 0))
        links = {"first": "/link_header?per_page=3"}
        if place + SIZE < len(RECORDS):
            links["next"] = f"{self.url}/link_header?per_page=3&from={place + SIZE}"
        header = ", ".join(f'<{self.link or link}>; rel="{name}"' for name, link in links.items())
        body = json.dumps({"results": self._page(request, place)})
        return Response(body, media_type="application/json", headers={"Link": header})

    async def post(self, request: Request) -> dict[str, Any]:
        body = await request.body()
        place = json.loads(body)["page"]["from"]
        return {"results": self._page(request, place, body), "total": len(RECORDS)}

    async def post_link(self, request: Request, token: int = 0) -> dict[str, Any]:
        following = f"/post_link?token={token + SIZE}" if token + SIZE < len(RECORDS) else None
        return {"results": self._page(request, token, await request.body()), "links": {"next": following}}


@pytest.fixture
def api() -> Iterator[Api]:
    api = Api()
    with serve(api.app) as api.url:
        yield api


def land(api: Api, lake: Path, way: str, run: str = "1") -> Manifest:
    source = {"kind": "http", "connection": "api", "endpoint": f"/{way}", "page_size": SIZE, **WAYS[way]}
    contract = weather(source=source, load="full")
    landing = Landing(Storage(f"file://{lake}"), "weather", run)
    endpoint = HttpEndpoint(f"http://user:secret@{api.url.removeprefix('http://')}")
    extractor = HttpExtractor(contract, endpoint, Patience(sleep=lambda _: None, tries=2))
    files = [file for piece in extractor.plan([]) for file in extractor.fetch(piece, landing)]
    return landing.commit([], files)


def records(lake: Path, manifest: Manifest) -> list[dict[str, Any]]:
    return [row for file in manifest.files for row in json.loads((lake / file.path).read_bytes())["results"]]


@pytest.mark.parametrize("way", WAYS)
def test_every_page_is_landed_once(api: Api, tmp_path: Path, way: str) -> None:
    manifest = land(api, tmp_path, way)
    assert records(tmp_path, manifest) == RECORDS
    assert api.asked == ASKED[way]
    assert not any("secret" in file.source for file in manifest.files)


@pytest.mark.parametrize("way", WAYS)
def test_a_retry_goes_on_behind_the_last_page(api: Api, tmp_path: Path, way: str) -> None:
    api.away = 2
    with pytest.raises(Exception, match="503"):
        land(api, tmp_path, way)
    api.asked.clear()
    manifest = land(api, tmp_path, way)
    assert records(tmp_path, manifest) == RECORDS
    assert api.asked == ASKED[way][1:]


@pytest.mark.parametrize("way", ["cursor", "next_link"])
def test_a_full_first_page_that_says_nothing_of_a_next_one_is_refused(
    api: Api, tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a next_key that is not there would end the walk at a part of the records."""
    monkeypatch.setitem(WAYS, way, WAYS[way] | {"next_key": "meta.nextt"})
    with pytest.raises(SourceDataError, match=r"full page of 3 records, and nothing under 'meta\.nextt'"):
        land(api, tmp_path, way)


def test_a_full_first_page_without_the_header_is_refused(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(WAYS, "page", {"paging": "link_header", "size_param": "limit"})
    with pytest.raises(SourceDataError, match="nothing in the header Link"):
        land(api, tmp_path, "page")


@pytest.mark.parametrize("way", ["cursor", "next_link", "link_header"])
def test_a_walk_whose_next_page_the_api_has_forgotten_begins_anew(api: Api, tmp_path: Path, way: str) -> None:
    api.away = 2
    with pytest.raises(SourceUnavailableError, match="503"):
        land(api, tmp_path, way)
    api.away, api.refusal = 1, 410
    with pytest.raises(SourceUnavailableError, match="Another try starts from the first page"):
        land(api, tmp_path, way)
    api.asked.clear()
    assert records(tmp_path, land(api, tmp_path, way)) == RECORDS
    assert api.asked == ASKED[way]


@pytest.mark.parametrize("way", ["next_link", "link_header"])
def test_a_link_to_another_server_is_not_followed(api: Api, tmp_path: Path, way: str) -> None:
    """The login would go there."""
    api.link = "http://localhost:9/elsewhere"
    with pytest.raises(SourceDataError, match=r"on another server, http://localhost:9 and not http://127\."):
        land(api, tmp_path, way)


@pytest.mark.parametrize(("way", "link"), [("cursor", "c3"), ("next_link", "/next_link?token=3")])
def test_pages_that_lead_in_a_circle_are_refused(api: Api, tmp_path: Path, way: str, link: str) -> None:
    api.link = link
    with pytest.raises(SourceDataError, match="its next page has been read already"):
        land(api, tmp_path, way)
    assert len(api.asked) <= 3


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ({"paging": "offset", "next_key": "meta.next"}, "next_key: means nothing with paging 'offset'"),
        ({"paging": "link_header", "page_param": "p"}, "page_param: means nothing with paging 'link_header'"),
        ({"paging": "cursor", "first_page": 0}, "first_page: means nothing with paging 'cursor'"),
        ({"paging": "page", "size_param": "page"}, "each is a parameter of its own"),
        ({"paging": "pages"}, "paging"),
        ({"page_param": "a b"}, "page_param"),
        ({"method": "PUT"}, "method"),
        ({"body": {"query": "all"}}, "body: only a POST has one"),
        ({"method": "POST", "body": ["all"]}, "body"),
        ({"method": "POST", "body": {"limit": 9}}, "body: limit is a parameter, and stands there already"),
        ({"method": "POST", "body": {"page": 1}, "page_param": "page.from"}, r"body: page\.from is a param"),
        ({"method": "POST", "body": {"since": date(2024, 1, 1)}}, "body: .*date is not JSON"),
        ({"method": "POST", "body": {"share": float("nan")}}, "body: .*not JSON compliant"),
    ],
)
def test_what_means_nothing_is_refused(entries: dict[str, Any], why: str) -> None:
    source = {"kind": "http", "connection": "api", "endpoint": "/x", **entries}
    with pytest.raises(ContractError, match=why):
        weather(source=source, load="full")
