"""Which versions of a stream's tables and views are compared with each other: those of one position."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from millstream.errors import ClusterError
from millstream.lake import history
from millstream.lake.accounts import Account
from millstream.lake.names import TableName
from millstream.lake.offsets import Offsets
from millstream.lake.tables import TableRef
from millstream.streams import position, served
from millstream.streams.served import BATCH

EVENTS = "flight_events"
BRONZE, SILVER = TableRef(zone="bronze", name=EVENTS), TableRef(zone="silver", name=EVENTS)
FLIGHTS = TableRef(zone="silver", name="flights")


class Pins(BaseModel):
    """Versions that belong together. `offsets` are those of the `view` that the stream keeps up, at version
    `speed`.

    `bronze` and `silver` have all that lies below their ends and may have more; `batch` is a batch view that
    is not further, and `flights` are the published monthly files, None where there is none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    offsets: Offsets
    bronze: int
    silver: int
    view: TableName
    speed: int
    batch: int | None = None
    flights: int | None = None


def pin(lake_root: str) -> Pins | None:
    """The newest versions that can be compared; None before the stream's first view.

    Raises: ClusterError: bronze is behind the view, so another look may help; StreamPositionError: they are
        of different topics.
    """
    live = served.speed_view(lake_root)
    views = [one for one in history.read(live, lake_root).standing if one.offsets]
    silver = history.version(SILVER, lake_root)
    if not views or silver is None:
        return None
    bronze = history.read(BRONZE, lake_root)
    archived = bronze.standing[0] if bronze.standing else None
    ends = position.ends(archived)
    for view in views:
        assert view.offsets is not None
        assert view.version is not None
        position.require_same_topic(str(BRONZE), archived, view.offsets.topic, view.offsets.topic_id)
        if bronze.version is not None and _within(view.offsets.end, ends):
            return Pins(
                offsets=view.offsets,
                bronze=bronze.version,
                silver=silver,
                view=str(live),
                speed=view.version,
                batch=_batch(lake_root, view.offsets),
                flights=history.read(FLIGHTS, lake_root).published_version,
            )
    raise ClusterError(f"{BRONZE} ends at {ends}, and {live} has read further: it has to catch up first")


def _batch(lake_root: str, limit: Offsets) -> int | None:
    """The newest batch view that is not beyond `limit`."""
    for account in history.read(BATCH, lake_root).standing:
        if account.version is not None and _within(_reached(account, lake_root), limit.end):
            return account.version
    return None


def _reached(account: Account, lake_root: str) -> Mapping[int, int]:
    return position.offsets_at(SILVER, lake_root, account.inputs[str(SILVER)]).end


def _within(offsets: Mapping[int, int], limit: Mapping[int, int]) -> bool:
    return all(offset <= limit.get(partition, 0) for partition, offset in offsets.items())
