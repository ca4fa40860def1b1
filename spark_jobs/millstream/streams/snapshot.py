"""What a stream says of itself while it runs: one small file in the lake, replaced after each micro-batch."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from millstream.lake.storage import Storage

FOLDER = "ops/streams"
State = Literal["starting", "running", "waiting", "drained", "parked", "stopped"]


class Figures(BaseModel):
    """Sums of the view of delays (`transforms.airport_delays_batch`) for one airport."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    airport: str
    scheduled: int
    cancelled: int
    departed: int
    late_departures: int
    departure_delay_min: int
    arrived: int
    late_arrivals: int
    arrival_delay_min: int


class Delays(Figures):
    """Those of one carrier, over the last day of events."""

    carrier: str


class HourlyDelays(Figures):
    """Those of all carriers in one hour of the last day of events; `hour` is `YYYY-MM-DD HH:MM:SS`, UTC."""

    hour: str


class Outcome(BaseModel):
    """Flights from one airport whose cutoff lies within the last day of events: how many were predicted, also
    to be late, and how many of them have landed, were late, and late as predicted. `expected_late` is the sum
    of the probabilities of those that have landed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    airport: str
    predicted: int
    predicted_late: int
    landed: int
    late: int
    late_as_predicted: int
    expected_late: float


class Predictions(BaseModel):
    """What was predicted beside the stream: so many `made` by this process, with `model_version` last.

    All flights whose cutoff is not after `until` have their prediction. `reason` says why none are made, or
    why the model may not be the champion.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    made: int = 0
    model_version: int | None = None
    until: datetime | None = None
    reason: str = ""
    outcomes: tuple[Outcome, ...] = ()


class Snapshot(BaseModel):
    """The stream's figures as of its newest commit.

    `lag` is records that the topic has and silver not; all that the topic had at `fresh_at` is in silver;
    `batch_s` and `events_per_s` are of the newest batch. `reason` says why it waits, is parked or stopped.
    Counts are of this process. `delays` and `hours` are as of the position `delays_at`. `predictions` is None
    where none are asked for.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    stream: str
    state: State
    at: datetime
    position: int = 0
    lag: int = 0
    fresh_at: datetime | None = None
    read: int = 0
    written: int = 0
    quarantined: int = 0
    deduplicated: int = 0
    batches: int = 0
    batch_s: float = 0.0
    events_per_s: float = 0.0
    reason: str = ""
    delays: tuple[Delays, ...] = ()
    hours: tuple[HourlyDelays, ...] = ()
    delays_at: int = -1
    predictions: Predictions | None = None


def path_of(stream: str) -> str:
    return f"{FOLDER}/{stream}.json"


def write(lake_root: str, snapshot: Snapshot) -> None:
    Storage(lake_root).write(path_of(snapshot.stream), snapshot.model_dump_json().encode())


def read(lake_root: str, stream: str) -> Snapshot | None:
    """The newest snapshot; None before the first."""
    storage, path = Storage(lake_root), path_of(stream)
    if not storage.exists(path):
        return None
    return Snapshot.model_validate_json(storage.read(path))


def read_all(lake_root: str) -> list[Snapshot]:
    """The newest snapshot of every stream, by name."""
    names = Storage(lake_root).list(FOLDER)
    found = (read(lake_root, name.removesuffix(".json")) for name in names if name.endswith(".json"))
    return [one for one in found if one is not None]
