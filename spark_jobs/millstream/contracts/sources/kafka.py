"""A topic of Kafka."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from millstream.contracts import sources
from millstream.contracts.nested import nested
from millstream.contracts.sources import Identifier

# The header that says by which schema a value was written.
VERSION_HEADER = "schema_version"
TOPIC = r"^[A-Za-z0-9._-]{1,249}$"
# Predictions of `millstream.streams.scoring`, among `views`.
ARRIVAL_DELAY_LIVE = "arrival_delay_live"
_DELAYS = {"event_type", "event_time", "origin", "carrier", "dep_delay_min", "arr_delay_min"}
_FLIGHT = {"flight", "dest", "tailnum", "sched_dep_time", "sched_arr_time", "distance_mi"}
# What each view is made of: by `millstream.transforms.airport_delays_batch`, by `millstream.streams.fold`.
VIEWS = {
    "airport_delays": _DELAYS,
    ARRIVAL_DELAY_LIVE: _DELAYS | _FLIGHT | {"dep_time", "arr_time", "air_time_min"},
}

if TYPE_CHECKING:
    from millstream.contracts.contract import Contract


class Alerts(sources.Strict):
    """Conditions in SQL on an event's columns in silver, by name: what meets one is sent to `topic`."""

    topic: str = Field(pattern=TOPIC)
    rules: dict[Identifier, str] = Field(min_length=1)


class Source(sources.Source):
    """A topic of Kafka: each record one row, its value a JSON object, columns named in `headers` beside it.

    A record whose header `schema_version` is not among `schema_versions` goes to quarantine. `views` are
    those that the stream keeps up beside silver. `dead_letter` is a topic that gets copies of what goes to
    quarantine, `alerts` says which events are sent on at once.
    """

    read_by_runs: ClassVar[bool] = False

    kind: Literal["kafka"]
    connection: Identifier = "kafka"
    format: Literal["jsonl"] = "jsonl"
    topic: str = Field(pattern=TOPIC)
    dead_letter: str | None = Field(default=None, pattern=TOPIC)
    headers: tuple[Identifier, ...] = ()
    schema_versions: tuple[int, ...] = Field(min_length=1)
    views: tuple[Literal["airport_delays", "arrival_delay_live"], ...] = ()
    alerts: Alerts | None = None

    @property
    def has_watermark(self) -> bool:
        # Its offsets.
        return True

    def check(self, contract: Contract) -> None:
        if unknown := [name for name in self.headers if name not in contract.column_names]:
            raise ValueError(f"source.headers: not among the columns: {', '.join(unknown)}")
        if VERSION_HEADER not in self.headers:
            raise ValueError(f"source.headers: lacks {VERSION_HEADER}, by which a record is read")
        others = [one for one in (self.dead_letter, self.alerts and self.alerts.topic) if one]
        if self.topic in others or len(set(others)) < len(others):
            raise ValueError("source: topic, dead_letter and alerts.topic have to be different topics")
        if self.lookback is not None:
            raise ValueError("source.lookback: a topic is read on from its offsets, nothing again")
        for view in self.views:
            if lacking := VIEWS[view] - {column.table_name for column in contract.columns}:
                raise ValueError(f"source.views: {view} needs the columns {', '.join(sorted(lacking))}")
        if self.alerts and (columns := [one for one in contract.columns if nested(one.type)]):
            raise ValueError(
                f"source.alerts: {columns[0].name} is {columns[0].type}, which real-time mode cannot read: "
                "leave alerts out, or use json and take its texts apart in a transform"
            )
        _only_what_streams_do(contract)


def _only_what_streams_do(contract: Contract) -> None:
    if contract.load != "watermark":
        raise ValueError(f"load: a topic is read on from its offsets: 'watermark', found {contract.load!r}")
    if contract.mode != "elt" or contract.schedule is not None:
        raise ValueError("mode, schedule: a topic is read all the time, by a stream; leave them out")
    if referring := [column.name for column in contract.columns if column.references]:
        raise ValueError(f"columns: a stream looks up no references, as of {', '.join(referring)}")
    if contract.keep != "first" or contract.deletes != "ignore":
        raise ValueError("keep, deletes: a stream adds the first row of a key; leave them out")
    # Of `removed` it is the default, and is carried out record by record: what lacks a field is kept apart.
    kinds = ("added", "renamed", "retyped", "widened", "nullability", "new_category")
    if frozen := [kind for kind in kinds if getattr(contract.drift, kind) == "freeze"]:
        raise ValueError(
            f"drift.{frozen[0]}: 'freeze': a stream stops for no record, it reads it or keeps it apart"
        )
