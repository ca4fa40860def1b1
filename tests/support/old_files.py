"""What maintenance has work with: a table in small files, and beside them the old ones that they replaced."""

from __future__ import annotations

import json
import os
import time
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from millstream.lake.tables import TableRef


def split(table: TableRef, lake_root: str, parts: int, days_ago: float) -> set[Path]:
    """Put each of the table's files into `parts` ones, in a commit with the same rows, as OPTIMIZE is one.

    Returns the files that were replaced, and are as old as that: `days_ago`. No server may have read the
    table before.
    """
    folder = Path(table.uri(lake_root).removeprefix("file://"))
    moment = time.time() - days_ago * 86400
    live, version = _live(folder)
    schema = DeltaTable(folder).to_pyarrow_dataset().schema
    actions: list[dict[str, Any]] = [
        {"commitInfo": {"timestamp": int(moment * 1000), "operation": "OPTIMIZE", "operationParameters": {}}}
    ]
    replaced = set()
    for add in live:
        file = folder / unquote(add["path"])
        replaced.add(file)
        same = {"partitionValues": add["partitionValues"], "dataChange": False}
        gone = {"path": add["path"], "deletionTimestamp": int(moment * 1000), "size": add["size"]}
        actions.append({"remove": {**gone, **same, "extendedFileMetadata": True}})
        found = pq.ParquetFile(file).read()
        rows = found.cast(pa.schema([schema.field(name) for name in found.column_names]))
        length = -(-len(rows) // parts)
        for start in range(0, len(rows), length):
            part = file.with_name(f"part-{uuid.uuid4()}.parquet")
            pq.write_table(rows.slice(start, length), part, coerce_timestamps="us")
            path = f"{add['path'].rpartition('/')[0]}/{part.name}".lstrip("/")
            new = {"path": path, "size": part.stat().st_size, "modificationTime": int(moment * 1000)}
            actions.append({"add": {**new, **same}})
        os.utime(file, (moment, moment))
    entry = folder / "_delta_log" / f"{version + 1:020}.json"
    entry.write_text("".join(f"{json.dumps(action)}\n" for action in actions))
    return replaced


def _live(folder: Path) -> tuple[list[dict[str, Any]], int]:
    """The table's files, each as it was added, and its version; of a log without a checkpoint."""
    live: dict[str, dict[str, Any]] = {}
    entries = sorted((folder / "_delta_log").glob("*.json"))
    for entry in entries:
        for action in map(json.loads, entry.read_text().splitlines()):
            if "add" in action:
                live[action["add"]["path"]] = action["add"]
            elif "remove" in action:
                live.pop(action["remove"]["path"], None)
    return list(live.values()), int(entries[-1].stem)
