"""How the pages of an API follow each other: the address of each, from what the one before has answered."""

from __future__ import annotations

from collections.abc import Set
from typing import Any, NamedTuple, Self

import httpx

from millstream.contracts.sources.http import Source
from millstream.errors import SourceDataError
from millstream.formats.json_page import value_under

_ABSENT = object()
LATER_PAGES = "What to do: correct paging in the contract, or ask the API's owner; then clear the task"


class Asked(NamedTuple):
    """One request for a page: its address, without anything secret, and the JSON of a POST."""

    url: str
    body: str | None = None

    def __str__(self) -> str:
        return self.url if self.body is None else f"{self.url} {self.body}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """What `str` has made: an address has no blank."""
        url, _, body = text.partition(" ")
        return cls(url, body or None)


class Paging:
    """The requests of one walk, as `Asked` writes them, in full and without anything secret.

    `base` is the connection's address; `since` what `since_param` asks for, if anything; `hidden` names
    parameters that are secret, which next links may repeat.
    """

    def __init__(
        self, source: Source, base: httpx.URL, since: str | None, hidden: Set[str] = frozenset()
    ) -> None:
        self._source = source
        self._base = base
        self._hidden = hidden
        self._given: dict[str, str | int] = {}
        if source.size_param is not None:
            self._given[source.size_param] = source.page_size
        if since is not None and source.since_param is not None:
            self._given[source.since_param] = since

    @property
    def is_by_place(self) -> bool:
        """Whether a page is asked for by its place among the records: there is no last one but an empty
        one."""
        return self._source.paging in ("offset", "page")

    def first(self) -> str:
        """The request for the first page."""
        match self._source.paging:
            case "offset":
                return self._url(0)
            case "page":
                return self._url(self._source.first_page)
        return self._url(None)

    def following(self, url: str, pages: int, records: int, page: Any, answer: httpx.Response) -> str | None:
        """The request for the page behind the one at `url`, the last of `pages` with together `records`, with
        the content `page`; None where its answer says that there is none.

        Raises: SourceDataError when it leads to another server, or is none, or when a first page that is full
        says nothing of a next one.
        """
        match self._source.paging:
            case "offset":
                return self._url(records)
            case "page":
                return self._url(self._source.first_page + pages)
            case "cursor" | "next_link":
                stated = value_under(page, self._source.next_key, _ABSENT)
                where, has_any = f"under '{self._source.next_key}'", stated is not _ABSENT
            case _:
                stated = answer.links.get("next", {}).get("url")
                where, has_any = "in the header Link", "link" in answer.headers
        if not has_any and pages == 1:
            self._require_room(url, records, where)
        following = self._said(url, stated) if has_any else None
        if self._source.paging == "cursor":
            return None if following is None else self._url(following)
        return self._joined(url, following)

    def _require_room(self, url: str, records: int, where: str) -> None:
        """An answer that says nothing of a next page is the last one. But where the first page is full, it is
        rather the contract that looks in the wrong place."""
        if self._source.size_param is not None and records >= self._source.page_size:
            raise SourceDataError(
                f"{url}: a full page of {records} records, and nothing {where} says whether there is one "
                "more. Nothing was landed. What to do: correct paging and next_key in the contract, or, if "
                "these are all records, make page_size greater; then clear the task"
            )

    def _url(self, place: str | int | None) -> str:
        own = {} if place is None else {self._source.place_param: place}
        path = self._base.path.rstrip("/") + self._source.endpoint
        params = {**own, **self._given}
        if self._source.method == "POST":
            return str(Asked(str(self._base.copy_with(path=path)), self._source.body_with(params)))
        return str(self._base.copy_with(path=path, params=params))

    def _said(self, url: str, value: Any) -> str | None:
        if value is None or value == "" or value is False:
            return None
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise SourceDataError(
                f"{url}: '{self._source.next_key}' says no next page: {str(value)[:80]}. {LATER_PAGES}"
            )
        return str(value)

    def _joined(self, url: str, link: str | None) -> str | None:
        if link is None:
            return None
        try:
            following = httpx.URL(Asked.parse(url).url).join(link).copy_with(userinfo=b"", fragment=None)
            for name in self._hidden:
                following = following.copy_remove_param(name)
        except (httpx.InvalidURL, ValueError) as error:
            raise SourceDataError(f"{url}: the next page has no address: {error}. {LATER_PAGES}") from error
        if _server(following) != _server(self._base):
            # The login would go along.
            raise SourceDataError(
                f"{url}: the next page is on another server, {_named(following)} and not "
                f"{_named(self._base)}: it was not asked for. "
                f"{LATER_PAGES}"
            )
        return str(Asked(str(following), Asked.parse(url).body))


def _named(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def _server(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port
