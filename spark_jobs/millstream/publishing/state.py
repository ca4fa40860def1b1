"""What a publish looks at in the lake: read once, before anything is decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from millstream.lake import history
from millstream.lake.history import Histories, History
from millstream.lake.storage import Storage
from millstream.lake.tables import DECISIONS, TableRef
from millstream.landing.manifest import Manifest, landed_later, read_manifest
from millstream.publishing.request import Request


@dataclass(frozen=True)
class LakeState:
    """The lake as one publish sees it.

    `decisions` is the version of `ops.decisions`, None when nobody has ever decided anything. `versions` are
    the present ones of the tables that the rows were made from. `manifest` says what the run has landed; of
    an increment `later` are the files that only runs after it have landed. `past` is the history that the
    table has in the lake, where its contract asks for one.
    """

    histories: Histories
    decisions: int | None = None
    versions: Mapping[str, int] = field(default_factory=dict)
    manifest: Manifest | None = None
    later: frozenset[str] = frozenset()
    past: History | None = None


def look(request: Request, lake_root: str) -> LakeState:
    """Read what `decide` asks of the lake; each table's history is read once."""
    table, storage = TableRef.parse(request.table), Storage(lake_root)
    landed = request.contract is not None
    return LakeState(
        histories=history.read_both(table, lake_root),
        decisions=history.version(DECISIONS, lake_root),
        versions={} if landed else _versions(request, lake_root),
        manifest=read_manifest(storage, table.name, request.run) if landed else None,
        past=_past(request, table, lake_root),
        later=frozenset(landed_later(storage, table.name, request.run))
        if request.is_increment
        else frozenset(),
    )


def _past(request: Request, table: TableRef, lake_root: str) -> History | None:
    asked = request.contract is not None and request.contract.get("history")
    return history.read(table.history, lake_root) if asked else None


def _versions(request: Request, lake_root: str) -> dict[str, int]:
    tables = (TableRef.parse(name) for name in request.inputs if not name.startswith("model."))
    versions = {str(table): history.version(table, lake_root) for table in tables}
    return {name: version for name, version in versions.items() if version is not None}
