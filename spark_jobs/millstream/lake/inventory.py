"""Which tables the lake has; asks the storage, no catalog and no Spark."""

from __future__ import annotations

from millstream.lake import history
from millstream.lake.storage import Storage
from millstream.lake.tables import NAME, ZONES, TableRef


def tables(lake_root: str) -> list[TableRef]:
    """Every Delta table of the lake, staged ones excepted."""
    storage = Storage(lake_root)
    names = ((zone, name) for zone in ZONES for name in storage.list(zone) if NAME.fullmatch(name))
    named = [TableRef.parse(f"{zone}.{name}") for zone, name in names]
    return [table for table in named if history.exists(table.uri(lake_root))]
