"""Paginated HTTP JSON APIs: each page landed as received, and a retry goes on behind the last one.

Pages by offset or number end with the first one that holds no record, others where an answer names no next
one (`millstream.sources.paging`). Where an answer states a `total`, the records are counted against it. Alone
it does not end the walk: with some APIs it is the count of the page.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import httpx
from pydantic import BaseModel, ConfigDict

from millstream.contracts.contract import Column, Contract
from millstream.contracts.sources.http import Source as HttpSource
from millstream.errors import ConfigurationError, SourceDataError, SourceUnavailableError
from millstream.formats import json_values
from millstream.formats.json_page import records_under, stated_total
from millstream.landing.manifest import LandedFile
from millstream.landing.run import Landing, in_memory
from millstream.landing.seen import SeenRecords
from millstream.sources.http_client import UNHURRIED, HttpEndpoint, Patience, PatientClient, checked
from millstream.sources.ordering import NO_LOOKBACK, earlier
from millstream.sources.paging import Asked, Paging

log = logging.getLogger(__name__)
ASK_OWNER = "What to do: ask the API's owner, then clear the task: it goes on from this page"


class HttpSlice(BaseModel):
    """All pages, or those at or after the time `since`; an API can only be walked in order."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["http"] = "http"
    since: str | None = None


class HttpExtractor:
    """Reads the pages of one contract from `endpoint`.

    Raises SourceUnavailableError while the server does not answer or its data moves under the reader;
    SourceDataError for an answer that is not what the contract says; ConfigurationError for a refused login,
    and for an address that is none.
    """

    def __init__(self, contract: Contract, endpoint: HttpEndpoint, patience: Patience = UNHURRIED) -> None:
        if not isinstance(contract.source, HttpSource):
            raise ConfigurationError(f"{contract.dataset}: its source is {contract.source.kind}, not http")
        self._contract = contract
        self._source = contract.source
        self._endpoint = checked(endpoint, contract.source.connection)
        self._patience = patience

    def plan(self, partitions: Sequence[str], watermark: str | None = None) -> list[HttpSlice]:
        """One slice: everything, or what is at or after the look-back before the watermark."""
        if partitions:
            raise ConfigurationError(f"{self._contract.dataset}: an HTTP source is not read by partition")
        if watermark is None or self._source.since_param is None:
            return [HttpSlice()]
        lookback = self._contract.lookback(of_times=True)
        if not lookback:
            log.warning(NO_LOOKBACK, self._contract.dataset, self._contract.event_time)
        reach = timedelta(0) if isinstance(lookback, int) else lookback
        try:
            return [HttpSlice(since=_before(watermark, reach))]
        except ValueError as error:
            raise ConfigurationError(
                f"{self._contract.dataset}: the watermark {watermark!r} is no time, which "
                f"{self._source.since_param} asks for; run with a full refresh"
            ) from error

    def fetch(self, piece: HttpSlice, landing: Landing) -> list[LandedFile]:
        """Land every page; pages that an earlier try of the same run landed are not asked for again.

        Nothing new at or after the watermark gives no files: a page whose records other runs have brought is
        left out. An API without any record is an error, unless the contract allows it.
        """
        with PatientClient(self._endpoint, self._source.connection, self._patience) as client:
            pages = _Walk(self._contract, self._source, self._endpoint, piece, landing).through(client)
        filled = [page.file for page in pages if page.records]
        if piece.since is not None:
            return self._with_news(filled, piece.since, landing) if filled else []
        if filled:
            return filled
        if not self._contract.allow_empty:
            raise SourceDataError(
                f"{pages[0].file.source} holds no record. Nothing was landed. What to do: ask the API's "
                "owner; if that is right, set allow_empty in the contract"
            )
        return [page.file for page in pages]

    def _with_news(self, files: list[LandedFile], since: str, landing: Landing) -> list[LandedFile]:
        """Those of `files` that have a record which no earlier run has brought, with the others marked."""
        seen = SeenRecords(landing, self._contract, self._source.records_key, since)
        marked = [file.model_copy(update={"seen": seen.ranges_in(file)}) for file in files]
        return [file for file in marked if sum(last - first + 1 for first, last in file.seen) != file.rows]


class _Page(BaseModel):
    """One page as landed, noted so that a retry goes on behind it.

    `total` is what the API counts; `miscounts` says that it stated a number below what had been read.
    `content` is a checksum of the records, `following` the request for the next page.
    """

    records: int
    total: int | None
    miscounts: bool = False
    content: str
    following: str | None
    file: LandedFile


class _Walk:
    """One walk through all pages of a slice."""

    def __init__(
        self,
        contract: Contract,
        source: HttpSource,
        endpoint: HttpEndpoint,
        piece: HttpSlice,
        landing: Landing,
    ) -> None:
        self._contract = contract
        self._source = source
        base = httpx.URL(endpoint.base_url).copy_with(userinfo=b"")
        self._paging = Paging(source, base, piece.since, endpoint.hidden_params)
        self._landing = landing
        # The address names the notes: pages of another watermark or page size do not fit this walk.
        self._notes = hashlib.sha256(self._paging.first().encode()).hexdigest()[:12]
        self._pages = self._noted()
        self._noted_pages = len(self._pages)

    def through(self, client: PatientClient) -> list[_Page]:
        """Every page, from behind the last noted one to the end."""
        while not self._at_end():
            page = self._fetch(client)
            if page is None or self._is_last_again(page):
                break
            self._check_fits(page)
            self._landing.note(self._note(len(self._pages)), page.model_dump_json())
            self._pages.append(page)
        return self._pages

    @property
    def _counted(self) -> int:
        return sum(page.records for page in self._pages)

    @property
    def _total(self) -> int | None:
        """The newest total that a page has stated; later pages may not. None once one was below what had been
        read: it counts something else, as the records of its own page."""
        if any(page.miscounts for page in self._pages):
            return None
        return next((page.total for page in reversed(self._pages) if page.total is not None), None)

    @property
    def _has_all_counted(self) -> bool:
        return self._total is not None and self._counted >= self._total

    def _at_end(self) -> bool:
        if not self._pages:
            return False
        last = self._pages[-1]
        return last.following is None or (self._paging.is_by_place and last.records == 0)

    def _is_last_again(self, page: _Page) -> bool:
        """Some APIs answer every offset behind the end with the last page, or take no notice of offsets."""
        return self._paging.is_by_place and self._has_all_counted and page.content == self._pages[-1].content

    def _fetch(self, client: PatientClient) -> _Page | None:
        """The next page; None where the server has refused it as one behind the last."""
        number = len(self._pages)
        url = (self._pages[-1].following if self._pages else None) or self._paging.first()
        asked = Asked.parse(url)
        where = f"{url} (page {number + 1})"
        behind = self._paging.is_by_place and self._has_all_counted
        # What an earlier try has noted to be asked for next may not be there any more.
        resumed = not self._paging.is_by_place and number > 0 and number == self._noted_pages
        answer = client.get(asked.url, where, behind or resumed, asked.body)
        if answer is None and resumed:
            self._landing.forget(self._notes)
            raise SourceUnavailableError(
                f"{where}: refused. An earlier try was told to go on there, and the API does not know it any "
                "more. Another try starts from the first page"
            )
        if answer is None:
            return None
        body = answer.content
        content = self._read(body, where)
        records, total, miscounts = self._parse(content, where)
        read = self._counted + len(records)
        following = self._paging.following(url, number + 1, read, content, answer)
        self._require_complete(records, following, total, where)
        file = self._landing.land(
            source=url,
            name=f"page-{number:05d}.json",
            read=in_memory(body),
            rows=len(records),
            watermark=self._latest(records, where),
        )
        # Of the records alone: what stands beside them may differ each time, as the moment of the answer.
        checksum = hashlib.sha256(json_values.as_written(records).encode(errors="surrogatepass")).hexdigest()
        return _Page(
            records=len(records),
            total=total,
            miscounts=miscounts,
            content=checksum,
            following=following,
            file=file,
        )

    def _parse(self, page: Any, where: str) -> tuple[list[Any], int | None, bool]:
        """The records of a page, the total where the API states it, and whether what it states is none."""
        records = records_under(page, self._source.records_key)
        if records is None:
            raise SourceDataError(f"{where}: no list under '{self._source.records_key}'. {ASK_OWNER}")
        read = self._counted + len(records)
        total = stated_total(page, self._source.records_key, read)
        miscounts = (
            bool(records) and total is None and stated_total(page, self._source.records_key, 0) is not None
        )
        return records, total, miscounts

    def _require_complete(
        self, records: list[Any], following: str | None, total: int | None, where: str
    ) -> None:
        """Raises SourceDataError when the pages end before what the API counts."""
        is_last = not records if self._paging.is_by_place else following is None
        expected, read = self._total if total is None else total, self._counted + len(records)
        if is_last and expected is not None and read < expected:
            raise SourceDataError(
                f"{where}: the pages end after {read} of the {expected} records that the API counts. "
                f"{ASK_OWNER}"
            )

    def _read(self, body: bytes, where: str) -> Any:
        if not body:
            # 204, No Content.
            return {self._source.records_key: None}
        try:
            return json_values.page(body, self._source.records_key)
        except ValueError as error:
            raise SourceDataError(f"{where}: not JSON: {error}. {ASK_OWNER}") from error

    def _latest(self, records: list[Any], where: str) -> str | None:
        """The latest event time among `records`, as written there, that is not yet to come: a record that is
        dated ahead must not hide what comes until then."""
        column = next(
            (column for column in self._contract.columns if column.name == self._contract.event_time), None
        )
        if self._source.since_param is None or column is None:
            return None
        given = event_times(self._contract, column, records)
        times = {time: value for value in given if (time := _as_utc(value)) is not None}
        if given and not times:
            raise SourceDataError(
                f"{where}: {column.name}: not a time in ISO 8601 in any record, the first is {given[0]!r}. "
                f"{ASK_OWNER}"
            )
        # A record whose time cannot be read goes to quarantine; the others say how far the page reaches.
        past = [time for time in times if time <= datetime.now(UTC)]
        return times[max(past)] if past else None

    def _check_fits(self, page: _Page) -> None:
        """Pages by offset fit together only while the records stay where they are, others unless one leads
        back to where the walk has been."""
        if not self._paging.is_by_place:
            if page.following in {self._paging.first(), *(one.following for one in self._pages)} - {None}:
                raise SourceDataError(
                    f"{page.file.source}: its next page has been read already. Nothing was landed. "
                    f"{ASK_OWNER}"
                )
            return
        if not self._pages:
            return
        before = self._pages[-1]
        if page.records and page.content == before.content:
            raise SourceDataError(
                f"{page.file.source}: the same page as the one before. Nothing was landed. This API takes "
                "no notice of the place of a page. What to do: name another paging in the contract"
            )
        if None not in (page.total, self._total) and page.total != self._total:
            self._landing.forget(self._notes)
            raise SourceUnavailableError(
                f"{page.file.source}: the API counts {page.total} records now and counted {self._total} on "
                "a page before: they changed while they were read. Another try starts from the first page"
            )

    def _noted(self) -> list[_Page]:
        pages: list[_Page] = []
        while (note := self._landing.noted(self._note(len(pages)))) is not None:
            page = _Page.model_validate_json(note)
            if not self._landing.is_intact(page.file):
                break
            pages.append(page)
        return pages

    def _note(self, number: int) -> str:
        return f"{self._notes}/page-{number:05d}.json"


def _before(watermark: str, lookback: timedelta) -> str:
    """A time that much earlier, spelled as it was; a date is whole days earlier."""
    is_date = len(watermark) == len("2013-01-01")
    value = datetime.fromisoformat(watermark)
    moved = earlier(value.date() if is_date else value, lookback)
    return str(moved.isoformat().replace("+00:00", "Z" if watermark.endswith("Z") else "+00:00"))


def event_times(contract: Contract, column: Column, records: list[Any]) -> list[Any]:
    """The event times of `records`, as written there, under whichever of the column's names they have."""
    values = [
        record[name]
        for record in records
        if isinstance(record, dict) and (name := column.delivered_as(record)) is not None
    ]
    return [value for value in values if value is not None and value not in contract.null_values]


def _as_utc(value: Any) -> datetime | None:
    """A time in ISO 8601, None for anything else; one without a zone counts as UTC."""
    try:
        read = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


EXTRACTOR, SLICE = HttpExtractor, HttpSlice
