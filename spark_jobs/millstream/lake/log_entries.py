"""Single entries of a Delta log, read as files."""

from __future__ import annotations

import json
from typing import Any

from millstream.lake.storage import Storage
from millstream.lake.tables import WHOLE, TableRef


def partitions_changed(table: TableRef, lake_root: str, version: int) -> set[str]:
    """The partitions in which the commit of `version` has changed rows, by its entry in the table's log.

    `all` is among them when the table is not cut by one column, or the log does not say.
    """
    path = f"{table.zone}/{table.name}/_delta_log/{version:020}.json"
    storage = Storage(lake_root)
    if not storage.exists(path):
        return {WHOLE}
    actions = [json.loads(line) for line in storage.read(path).splitlines() if line.strip()]
    files = (action.get("add") or action.get("remove") for action in actions)
    return {_partition(file) for file in files if file and file.get("dataChange", True)}


def _partition(file: dict[str, Any]) -> str:
    values = list((file.get("partitionValues") or {}).values())
    return str(values[0]) if len(values) == 1 and values[0] is not None else WHOLE
