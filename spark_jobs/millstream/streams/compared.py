"""What the last comparison of the views of delays has found: one small file in the lake. Imports no Spark."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from millstream.lake.storage import Storage

PATH = "ops/views/airport_delays.json"


class Difference(BaseModel):
    """One key whose rows are not the same on every side.

    `sides` says of each what it has there; `event_ids` are the events that differ, or where none does, those
    that the rows are made from.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["group", "event", "flight"]
    key: str
    sides: dict[str, str]
    event_ids: tuple[str, ...]

    def __str__(self) -> str:
        sides = "; ".join(f"{name}: {text}" for name, text in self.sides.items())
        return f"{self.kind} {self.key}: {sides} (events {', '.join(self.event_ids) or 'unknown'})"


class Comparison(BaseModel):
    """The views as of one position, group by group, their events, and flights that the events make.

    `groups`, `events` and `flights` are rows by side. `days` are the first and the last whose flights were
    compared, None where none were. `differences` are the first ones of `different`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    at: datetime
    position: int
    groups: dict[str, int]
    events: dict[str, int]
    flights: dict[str, int]
    days: tuple[str, str] | None
    different: int
    differences: tuple[Difference, ...]


def write(lake_root: str, comparison: Comparison) -> None:
    Storage(lake_root).write(PATH, comparison.model_dump_json().encode())


def read(lake_root: str) -> Comparison | None:
    """The last comparison; None before the first."""
    storage = Storage(lake_root)
    return Comparison.model_validate_json(storage.read(PATH)) if storage.exists(PATH) else None
