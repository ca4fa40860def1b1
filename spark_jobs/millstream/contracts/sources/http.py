"""A paginated JSON API."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from millstream.contracts import sources
from millstream.formats.readers import json as json_format

if TYPE_CHECKING:
    from millstream.contracts.contract import Contract


PARAM = r"^[A-Za-z_$][A-Za-z0-9_.$\[\]-]{0,62}$"


class Source(sources.Source):
    """A paginated JSON API."""

    may_be_blank: ClassVar[bool] = True

    kind: Literal["http"]
    format: Literal["json"] = "json"
    endpoint: str = Field(pattern=r"^/[^?#\s[:cntrl:]]*$", description="path below the connection's address")
    method: Literal["GET", "POST"] = Field(
        default="GET", description="with `POST` the parameters stand in the body, which is a JSON object"
    )
    body: dict[str, Any] = Field(default={}, description="what the body of a `POST` has besides")
    paging: Literal["offset", "page", "cursor", "next_link", "link_header"] = Field(
        default="offset",
        description="how pages follow each other: by an `offset`, by the number of the `page`, by a `cursor` "
        "or a `next_link` that an answer has, or by its `link_header` (RFC 8288, rel=next)",
    )
    page_size: int = Field(
        default=1000, ge=1, le=100_000, description="records of a page, as it is asked for"
    )
    size_param: str | None = Field(
        default="limit", pattern=PARAM, description="the parameter with the page's size; null: none is sent"
    )
    page_param: str | None = Field(
        default=None,
        pattern=PARAM,
        description="the parameter with offset, page or cursor, if named otherwise",
    )
    first_page: int = Field(default=1, ge=0, description="number of the first page, with `page`")
    next_key: str = Field(
        default="next",
        pattern=json_format.PATH,
        max_length=200,
        description="where an answer has its cursor or next link: a name, or a path of names: `paging.next`",
    )
    records_key: str = Field(
        default="results",
        pattern=json_format.PATH,
        max_length=200,
        description="where an answer has its records: a name, or a path of names: `data.items`",
    )
    since_param: str | None = Field(
        default=None,
        pattern=PARAM,
        description="for `load: watermark`: the parameter that asks for records at or after a time",
    )

    @model_validator(mode="after")
    def _body_is_sent(self) -> Self:
        if self.body and self.method != "POST":
            raise ValueError("body: only a POST has one: set method to POST")
        if self.method == "POST":
            try:
                self.body_with(dict.fromkeys(self.params, 0))
            except (TypeError, ValueError, KeyError) as error:
                raise ValueError(f"body: {str(error)[:200]}") from None
        return self

    @model_validator(mode="after")
    def _asks_for_more_than_pages(self) -> Self:
        given = self.params
        if len(set(given)) < len(given):
            raise ValueError("since_param, size_param, page_param: each is a parameter of its own")
        useless = {
            "page_param": not self.asks_for_places,
            "first_page": self.paging != "page",
            "next_key": self.paging not in ("cursor", "next_link"),
        }
        usual = type(self).model_fields
        if idle := [
            name for name, is_one in useless.items() if is_one and getattr(self, name) != usual[name].default
        ]:
            raise ValueError(f"{', '.join(idle)}: means nothing with paging '{self.paging}'")
        return self

    @property
    def params(self) -> list[str]:
        """The parameters that requests have."""
        names = [self.since_param, self.size_param, self.place_param if self.asks_for_places else None]
        return [name for name in names if name is not None]

    @property
    def asks_for_places(self) -> bool:
        """Whether each page is asked for by a parameter, not by an address of the server's."""
        return self.paging in ("offset", "page", "cursor")

    @property
    def place_param(self) -> str:
        """The parameter that says which page."""
        return self.page_param or self.paging

    def body_with(self, params: Mapping[str, str | int]) -> str:
        """JSON of `body` with the parameters in it: `page.size` is `size` of the object `page`.

        Raises: TypeError, ValueError: it cannot be JSON, or has one of the parameters already.
        """
        body = json.loads(json.dumps(self.body, allow_nan=False))
        for name, value in params.items():
            *folders, last = name.split(".")
            place = body
            for folder in folders:
                place = place.setdefault(folder, {}) if isinstance(place, dict) else place
            if not isinstance(place, dict) or last in place:
                raise ValueError(f"{name} is a parameter, and stands there already")
            place[last] = value
        return json.dumps(body, ensure_ascii=False)

    @property
    def has_watermark(self) -> bool:
        return self.since_param is not None

    @property
    def format_options(self) -> Any:
        return json_format.Options(records=self.records_key)

    def check(self, contract: Contract) -> None:
        if contract.load != "watermark":
            return
        if contract.event_time is None:
            raise ValueError("load: 'watermark' over http needs event_time, what since_param is about")
        if self.lookback and not isinstance(self.lookback, timedelta):
            raise ValueError("source.lookback: since_param is about times: write a duration, for example P1D")
