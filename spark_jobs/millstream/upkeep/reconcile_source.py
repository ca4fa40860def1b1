"""Has every row of a SQL source been read? Counted by ranges of its key, at the source and in landing.

It compares rows whose watermark is before the look-back of the next run, because no run reads rows
committed there later. For rows read since the last full read, each key's highest watermark counts. If the
source has more rows than were read, rows were lost. Fewer mean nothing: rows were deleted there, or have
changed and will be read by the next run. A lost row in the same range as a changed one shows only after
that one has been read; in the same range as a deleted one, only after a full read.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from millstream.contracts.contract import Contract
from millstream.errors import ClusterError
from millstream.lake import history
from millstream.lake.storage import Storage
from millstream.lake.tables import TableRef
from millstream.landing.manifest import Manifest
from millstream.landing.seen import standing_manifests
from millstream.sources import Counting
from millstream.sources.sql import SourceCounts
from millstream.upkeep.reconcile import Difference

RANGES = 32
KEY, WATERMARK = "key", "watermark"


def compare_with_source(contract: Contract, extractor: Counting, lake_root: str) -> list[Difference]:
    """Ranges of the key in which the source has more rows than have been read.

    None for tables that are not loaded by watermark: their next run reads everything.

    Raises: what the extractor raises.
    """
    table = TableRef(zone="silver", name=contract.dataset)
    reached = history.read(table, lake_root).watermark
    if contract.load != "watermark" or reached is None:
        return []
    manifests = _since_all_was_read(standing_manifests(Storage(lake_root), contract.dataset))
    with extractor.counting(reached) as source:
        try:
            keys = _keys_read(lake_root, manifests, source)
        except (ClusterError, KeyError, pa.ArrowException) as error:
            text = f"not compared with its source: not all that was landed can be read: {error}"
            return [Difference(subject=str(table), text=text, remedy="none")]
        ends = _ends(keys) if source.is_ordered_like(keys.type) else []
        counts = source.counts([source.text_of(end) for end in ends])
    texts = [
        f"its source has {at_source} rows{_words(source.key, ends, number)} whose {source.watermark} is "
        f"before {source.before}, and {read} of them were read. {at_source - read} are missing: they were "
        "committed later than source.lookback reaches back. Run its ingest with full_refresh, and set a "
        "longer lookback"
        for number, (at_source, read) in enumerate(zip(counts, _counts(keys, ends), strict=True))
        if at_source > read
    ]
    return [Difference(subject=str(table), text=text, remedy="person") for text in texts]


def _since_all_was_read(newest_first: list[Manifest]) -> list[Manifest]:
    manifests = []
    for manifest in newest_first:
        manifests.append(manifest)
        if manifest.watermark_low is None:
            break
    return manifests


def _keys_read(lake_root: str, manifests: list[Manifest], source: SourceCounts) -> pa.ChunkedArray:
    """The keys whose highest watermark read so far is before the look-back, by their first column, sorted."""
    storage = Storage(lake_root)
    paths = list(dict.fromkeys(path for manifest in manifests for path in manifest.paths))
    rows = pa.concat_tables(
        [_columns(storage.read(path), source) for path in paths], promote_options="permissive"
    )
    dated = rows.filter(pc.is_valid(rows[WATERMARK]))
    keys = [name for name in dated.column_names if name != WATERMARK]
    highest = dated.group_by(keys).aggregate([(WATERMARK, "max")])
    column = highest[f"{WATERMARK}_max"]
    return highest.filter(pc.less(column, pa.scalar(source.before, column.type)))[KEY].sort()


def _columns(content: bytes, source: SourceCounts) -> pa.Table:
    """Key and watermark of landed rows. Raises KeyError when they are not there."""
    rows = pq.read_table(pa.BufferReader(content))
    watermark = rows[source.watermark]
    if pa.types.is_string(watermark.type):
        # Times that are text, in whatever spelling.
        moments = [None if text is None else source.value_of(text) for text in watermark.to_pylist()]
        watermark = pa.array(moments, pa.timestamp("us"))
    first, *others = source.keys
    more = {f"{KEY}_{number}": rows[name] for number, name in enumerate(others)}
    return pa.table({KEY: rows[first], **more, WATERMARK: watermark})


def _ends(keys: pa.ChunkedArray) -> list[Any]:
    """The last keys of ranges of about equal size, without that of the last range."""
    step = -(-len(keys) // RANGES)
    return [keys[place].as_py() for place in range(step - 1, len(keys) - 1, step)] if step else []


def _counts(keys: pa.ChunkedArray, ends: list[Any]) -> list[int]:
    upto = [pc.sum(pc.less_equal(keys, pa.scalar(end, keys.type))).as_py() or 0 for end in ends]
    return [high - low for low, high in zip([0, *upto], [*upto, len(keys)], strict=True)]


def _words(key: str, ends: list[Any], number: int) -> str:
    bounds = []
    if number > 0:
        bounds.append(f"after {ends[number - 1]}")
    if number < len(ends):
        bounds.append(f"up to {ends[number]}")
    return f" with {key} {' and '.join(bounds)}," if bounds else ""
