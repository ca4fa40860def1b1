"""What tests of replays ask of a chain, and increments of planes."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from millstream.lake import history
from millstream.lake.storage import Storage
from millstream.lake.tables import DECISIONS
from millstream.landing.manifest import read_manifest
from millstream.landing.run import Landing, in_memory
from tests.support.chain import Chain

NEW = {
    "type": "expect_column_values_to_be_between",
    "kwargs": {"column": "year", "min_value": 1990, "mostly": 0.1},
    "severity": "critical",
    "meta": {},
}
SEATED = {
    "type": "expect_column_values_to_be_between",
    "kwargs": {"column": "seats", "min_value": 1, "mostly": 0.1},
    "severity": "critical",
    "meta": {},
}


def staged_by(chain: Chain, run: str, rows: int) -> dict[str, Any]:
    """What the transform of `run`, or of a replay of `r1`, returned."""
    uri = chain.table.staging_uri(chain.root, run)
    began = read_manifest(Storage(chain.root), chain.table.name, "r1").fetch_began.isoformat()
    return {"staged_uri": uri, "staged_version": 0, "rows": rows, "drift": (), "fetch_began": began}


def state(chain: Chain) -> dict[str, Any]:
    """Version of every table that a replay could touch."""
    tables = (chain.table, chain.table.quarantine, DECISIONS)
    return {str(table): history.version(table, chain.root) for table in tables}


def counts(result: dict[str, Any]) -> tuple[int, ...]:
    """Read, then what it is the sum of, then the accepted ones among the written."""
    names = ("written", "quarantined", "deduplicated", "dropped")
    parts = tuple(result[name] for name in names)
    assert result["read"] == sum(parts)
    return (result["read"], *parts, result["accepted"])


def increment(
    chain: Chain,
    run: str,
    watermark: str | None,
    page: str | None = None,
    mode: str = "etl",
    **planes: tuple[int, int],
) -> dict[str, Any]:
    """Ingest planes by tail number: year and seats. The same planes as the same `page` are the same bytes."""
    columns: dict[str, list[Any]] = {name: [None] * len(planes) for name in chain.contract.column_names}
    columns["tailnum"] = list(planes)
    columns["year"] = [year for year, _ in planes.values()]
    columns["seats"] = [seats for _, seats in planes.values()]
    content = io.BytesIO()
    pq.write_table(pa.table(columns), content)
    landing = Landing(Storage(chain.root), "planes", run)
    file = landing.land(
        page or run, f"{page or run}.parquet", in_memory(content.getvalue()), watermark=watermark
    )
    landing.commit([], [file])
    staged = chain.stage(run, mode)
    chain.judge(run, staged)
    return chain.publish(run, staged, [], watermark=watermark)
