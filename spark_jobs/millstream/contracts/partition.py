"""How a dataset is cut, as its contract says it."""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Any, Self

from pydantic import Field, model_validator

from millstream.contracts.periods import SHAPES, Grain, Period, grain_of, period_at
from millstream.contracts.sources import Identifier, Strict


class Partition(Strict):
    """How bronze and silver are cut: by calendar periods, which runs bring and replace as a whole."""

    grain: Grain = Field(default="month", description="`year`, `month`, `day` or `hour`")
    column: Identifier = Field(
        default="month",
        description="the table's column that has the period; if neither the source nor a transform makes it, "
        "it is the period that a row was delivered for. If it is not said, it is called as the grain",
    )
    start: Period = Field(description="the first period that the source has: `2013-01`")

    @model_validator(mode="before")
    @classmethod
    def _called_as_its_grain(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        # YAML reads some periods as a number or a date.
        start = data.get("start")
        start = str(start) if isinstance(start, int | date) and not isinstance(start, bool) else start
        return {"column": data.get("grain", "month"), **data, "start": start}

    @model_validator(mode="after")
    def _starts_with_its_grain(self) -> Self:
        if grain_of(self.start) != self.grain:
            raise ValueError(f"start: a {self.grain} is written {SHAPES[self.grain]}, found {self.start!r}")
        return self

    def last(self, moment: datetime, end: date | None) -> str:
        """The last period that has begun at `moment` (UTC), by the end of the day `end` at the latest."""
        last = period_at(moment, self.grain)
        return last if end is None else min(last, self.last_of(end))

    def last_of(self, day: date) -> str:
        """The last period that begins on a day, or that the day lies in."""
        return period_at(datetime.combine(day, time.max), self.grain)
