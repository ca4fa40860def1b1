"""Paginated HTTP JSON APIs: each page landed as received, and a retry goes on behind the last one.

Pages are asked for with `offset` and `limit`. Where the answer states a `total`, the records are counted
against it; where it does not, the pages end with the first one that holds no record.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import httpx
from pydantic import BaseModel, ConfigDict

from millstream.contract import Contract, HttpSource
from millstream.errors import ConfigurationError, SourceDataError, SourceUnavailableError
from millstream.extract.http_client import UNHURRIED, HttpEndpoint, Patience, PatientClient
from millstream.landing import LandedFile, Landing, in_memory

ASK_OWNER = "Ask the API's owner, then clear the task: it goes on from this page"


class HttpSlice(BaseModel):
    """All pages, or those at or after the time `since`; an API can only be walked in order."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["http"] = "http"
    since: str | None = None


class HttpExtractor:
    """Reads the pages of one contract from `endpoint`.

    Raises SourceUnavailableError while the server does not answer or its data moves under the reader;
    SourceDataError for an answer that is not what the contract says; ConfigurationError for a refused login.
    """

    def __init__(self, contract: Contract, endpoint: HttpEndpoint, patience: Patience = UNHURRIED) -> None:
        if not isinstance(contract.source, HttpSource):
            raise ConfigurationError(f"{contract.dataset}: its source is {contract.source.kind}, not http")
        self._contract = contract
        self._source = contract.source
        self._endpoint = endpoint
        self._patience = patience

    def plan(self, partitions: Sequence[str], watermark: str | None = None) -> list[HttpSlice]:
        """One slice: everything, or what is at or after the watermark."""
        if partitions:
            raise ConfigurationError(f"{self._contract.dataset}: an HTTP source is not read by partition")
        return [HttpSlice(since=watermark if self._source.since_param else None)]

    def fetch(self, piece: HttpSlice, landing: Landing) -> list[LandedFile]:
        """Land every page; pages that an earlier try of the same run landed are not asked for again.

        Nothing at or after the watermark gives no files. An API without any record is an error, unless the
        contract allows it.
        """
        with PatientClient(self._endpoint, self._source.connection, self._patience) as client:
            pages = _Walk(self._contract, self._source, self._endpoint, piece, landing).through(client)
        filled = [page.file for page in pages if page.records]
        if filled or piece.since is not None:
            return filled
        if not self._contract.allow_empty:
            raise SourceDataError(
                f"{pages[0].file.source} holds no record. Nothing was landed. Ask the API's owner; if that "
                "is right, set allow_empty in the contract"
            )
        return [page.file for page in pages]


class _Page(BaseModel):
    """One page as landed, noted so that a retry goes on behind it."""

    records: int
    total: int | None
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
        self._base = httpx.URL(endpoint.base_url).copy_with(userinfo=b"")
        self._piece = piece
        self._landing = landing
        # The address names the notes: pages of another watermark or page size do not fit this walk.
        self._notes = hashlib.sha256(self._url(0).encode()).hexdigest()[:12]
        self._pages = self._noted()

    def through(self, client: PatientClient) -> list[_Page]:
        """Every page, from behind the last noted one to the end."""
        while not self._at_end():
            page = self._fetch(client)
            self._check_fits(page)
            self._landing.note(self._note(len(self._pages)), page.model_dump_json())
            self._pages.append(page)
        return self._pages

    @property
    def _counted(self) -> int:
        return sum(page.records for page in self._pages)

    def _at_end(self) -> bool:
        if not self._pages:
            return False
        last = self._pages[-1]
        return last.records == 0 if last.total is None else self._counted >= last.total

    def _fetch(self, client: PatientClient) -> _Page:
        number = len(self._pages)
        url = self._url(self._counted)
        where = f"{url} (page {number + 1})"
        body = client.get(url, where)
        records, total = self._parse(body, where)
        file = self._landing.land(
            source=url,
            name=f"page-{number:05d}.json",
            read=in_memory(body),
            rows=len(records),
            watermark=self._latest(records, where),
        )
        return _Page(records=len(records), total=total, file=file)

    def _url(self, offset: int) -> str:
        """Address of one page, in full and without anything secret."""
        params: dict[str, str | int] = {"offset": offset, "limit": self._source.page_size}
        if self._piece.since is not None and self._source.since_param is not None:
            params[self._source.since_param] = self._piece.since
        path = self._base.path.rstrip("/") + self._source.endpoint
        return str(self._base.copy_with(path=path, params=params))

    def _parse(self, body: bytes, where: str) -> tuple[list[Any], int | None]:
        """The records of a page, and the total where the API states it."""
        try:
            page = json.loads(body)
        except ValueError as error:
            raise SourceDataError(f"{where}: not JSON: {error}. {ASK_OWNER}") from error
        records = page.get(self._source.records_key) if isinstance(page, dict) else None
        if not isinstance(records, list):
            raise SourceDataError(f"{where}: no list under '{self._source.records_key}'. {ASK_OWNER}")
        total = page.get("total")
        if not isinstance(total, int):
            return records, None
        if not records and self._counted < total:
            raise SourceDataError(
                f"{where}: the pages end after {self._counted} of the {total} records that the API counts. "
                f"{ASK_OWNER}"
            )
        return records, total

    def _latest(self, records: list[Any], where: str) -> str | None:
        """The latest event time among `records`, as written there, that is not yet to come: a record that is
        dated ahead must not hide what comes until then."""
        column = self._contract.event_time
        if self._source.since_param is None or column is None:
            return None
        values = [record.get(column) for record in records if isinstance(record, dict)]
        times = [value for value in values if value is not None and value not in self._contract.null_values]
        try:
            past = [time for time in times if _as_utc(time) <= datetime.now(UTC)]
            return max(past, key=datetime.fromisoformat, default=None)
        except (TypeError, ValueError) as error:
            raise SourceDataError(
                f"{where}: {column}: not a time in ISO 8601: {error}. {ASK_OWNER}"
            ) from error

    def _check_fits(self, page: _Page) -> None:
        """Pages by offset fit together only while the records stay where they are."""
        if not self._pages:
            return
        before = self._pages[-1]
        if page.records and page.file.sha256 == before.file.sha256:
            raise SourceDataError(
                f"{page.file.source}: the same page as the one before. Nothing was landed. This API does not "
                "page by offset and limit: it needs another kind of source"
            )
        if page.total != before.total:
            self._landing.forget(self._notes)
            raise SourceUnavailableError(
                f"{page.file.source}: the API counts {page.total} records now and counted {before.total} on "
                "the page before: they changed while they were read. Another try starts from the first page"
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


def _as_utc(time: str) -> datetime:
    """A time in ISO 8601; one without a zone counts as UTC."""
    read = datetime.fromisoformat(time)
    return read if read.tzinfo else read.replace(tzinfo=UTC)
