"""A dataset whose files lie where the connection `other_place` leads, and what lands them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from millstream.contracts.contract import Contract
from millstream.lake.storage import Storage
from millstream.landing.manifest import Manifest
from millstream.landing.run import Landing
from millstream_airflow.connections import extractor_for

Run = Callable[..., Manifest]
MONTHLY = {"load": "partition", "partition": {"start": "2024-01"}}


def contract(path: str, *, quiet_seconds: int = 60, **more: Any) -> Contract:
    source = {"kind": "files", "connection": "other_place", "format": "csv", "path": path}
    return Contract.from_dict(
        {
            "dataset": "things",
            "version": 1,
            "description": "Things of another place.",
            "owner": "tests",
            "source": {**source, "quiet_seconds": quiet_seconds},
            "load": "full",
            "start_date": "2024-01-01",
            "columns": [{"name": "id", "type": "string", "description": "Key"}],
            "primary_key": ["id"],
            **more,
        },
        origin="things.yaml",
    )


def land(lake: str, of: Contract, key: str, partitions: tuple[str, ...]) -> Manifest:
    """What the connection leads to, in the landing of `lake`."""
    landing = Landing(Storage(lake), of.dataset, key)
    extractor = extractor_for(of)
    files = [file for piece in extractor.plan(partitions) for file in extractor.fetch(piece, landing)]
    return landing.commit(sorted({file.partition for file in files if file.partition}), files)
