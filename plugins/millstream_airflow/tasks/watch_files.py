"""The asset whose events start the runs of a dataset when files come, and the trigger that makes them.

Airflow's own event triggers for files wait for a flag in a folder of this machine, and delete it
(`FileDeleteTrigger`, `DirectoryFileDeleteTrigger`). The SFTP provider's fires once, for a task.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, AssetWatcher
from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from millstream.errors import PermanentError
from millstream_airflow import catalog

if TYPE_CHECKING:
    from millstream.contracts.contract import Contract

# Until something is known of the dataset's own interval.
EVERY_S = 60.0
# Whatever passes by itself within this time is nobody's matter.
PATIENCE_S = 600.0
# Names in an event, which people read; the run lists the source itself.
MOST_NAMES = 20


class FilesTrigger(BaseEventTrigger):
    """Looks where the files of `dataset` come from, as often as its contract says, for as long as it lives.

    An event has `files`, their `count` and `partitions`; or `trouble`, when the source cannot be looked at:
    the run that it starts fails with that error, its remedy and an alert. There is one for each trouble: at
    once if a person must act, otherwise after ten minutes.
    """

    def __init__(self, dataset: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.dataset = dataset
        self._every_s = EVERY_S
        self._arrivals: Any = None
        self._extractor: Any = None
        self._extractor_of: Any = None
        self._troubled_since: float | None = None
        self._told = False

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{type(self).__module__}.{type(self).__qualname__}", {"dataset": self.dataset}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        while True:
            if event := await asyncio.to_thread(self._look):
                yield TriggerEvent(event)  # type: ignore[no-untyped-call]
            await asyncio.sleep(self._every_s)

    def _look(self) -> dict[str, Any] | None:
        try:
            files = self._arrived()
        # A trigger that fails is begun anew at once, again and again, and nobody is told.
        except Exception as error:
            # Connected anew by the next look.
            self._extractor_of = None
            return self._trouble(error)
        self._troubled_since, self._told = None, False
        if not files:
            return None
        return {
            "files": [file.path for file in files[:MOST_NAMES]],
            "count": len(files),
            "partitions": sorted({file.partition for file in files if file.partition}),
        }

    def _arrived(self) -> list[Any]:
        from millstream.lake.storage import Storage
        from millstream.sources.arrivals import Arrivals
        from millstream_airflow.connections import definition, extractor_for

        # Anew with each look: contract and connection may have been corrected.
        contract = catalog.contract(self.dataset)
        self._every_s = getattr(contract.source, "watch_seconds", None) or EVERY_S
        self._arrivals = self._arrivals or Arrivals()
        # Otherwise the same: a file system that nobody uses any more stays connected until Python finds its
        # circle of references, which was dozens of looks later.
        if self._extractor_of != (now := (contract, definition(contract))):
            self._extractor, self._extractor_of = extractor_for(contract), now
        return list(self._arrivals.look(contract, self._extractor, Storage(catalog.lake_root())))

    def _trouble(self, error: Exception) -> dict[str, Any] | None:
        now = time.monotonic()
        if self._troubled_since is None:
            self._troubled_since = now
        self.log.warning("the files of %s cannot be looked for: %s", self.dataset, error)
        waits = not isinstance(error, PermanentError) and now - self._troubled_since < PATIENCE_S
        if self._told or waits:
            return None
        self._told = True
        return {"trouble": str(error)}


def watched_files(contract: Contract) -> Asset:
    """The files of a dataset: their arrival is an event of this asset."""
    watcher = AssetWatcher(name=f"files of {contract.dataset}", trigger=FilesTrigger(contract.dataset))
    return Asset(
        name=f"files.{contract.dataset}",
        uri=f"millstream://sources/{contract.dataset}",
        group="sources",
        watchers=[watcher],
    )


def periods_that_came(context: Any) -> list[str]:
    """The periods of the files that have started this run; none when something else has.

    People can make events of an asset, too, with anything in them.
    """
    events = [event for each in (context.get("triggering_asset_events") or {}).values() for event in each]
    payloads = [(event.extra or {}).get("payload") for event in events]
    periods = [payload.get("partitions") for payload in payloads if isinstance(payload, dict)]
    return sorted({str(period) for each in periods if isinstance(each, list) for period in each})
