"""A paginated JSON API."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from millstream.contracts import sources
from millstream.formats.readers import json

if TYPE_CHECKING:
    from millstream.contracts.contract import Contract


class Source(sources.Source):
    """A paginated JSON API."""

    may_be_blank: ClassVar[bool] = True

    kind: Literal["http"]
    format: Literal["json"] = "json"
    endpoint: str = Field(pattern=r"^/[^?#\s[:cntrl:]]*$")
    page_size: int = Field(default=1000, ge=1, le=100_000)
    records_key: str = Field(
        default="results",
        pattern=json.PATH,
        max_length=200,
        description="where an answer has its records: a name, or a path of names: data.items",
    )
    since_param: str | None = Field(default=None, pattern=r"^[A-Za-z_$][A-Za-z0-9_.$\[\]-]{0,62}$")

    @model_validator(mode="after")
    def _asks_for_more_than_pages(self) -> Self:
        if self.since_param in ("offset", "limit"):
            raise ValueError(f"since_param: {self.since_param} is what pages are asked for with")
        return self

    @property
    def has_watermark(self) -> bool:
        return self.since_param is not None

    @property
    def format_options(self) -> Any:
        return json.Options(records=self.records_key)

    def check(self, contract: Contract) -> None:
        if contract.load != "watermark":
            return
        if contract.event_time is None:
            raise ValueError("load: 'watermark' over http needs event_time, what since_param is about")
        if self.lookback and not isinstance(self.lookback, timedelta):
            raise ValueError("source.lookback: since_param is about times: write a duration, for example P1D")
