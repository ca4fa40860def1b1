"""Tables with accounts in their commits, written without Spark: for what only reads them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, write_deltalake

from millstream import ledger
from millstream.lake.tables import TableRef


def publish(
    lake_root: str,
    table: str,
    run: str,
    *,
    read: int,
    rows: int | None = None,
    partition: str = "all",
    inputs: dict[str, int] | None = None,
    contract: dict[str, Any] | None = None,
    replay: str | None = None,
    sequence: int = 0,
    watermark: str | None = None,
    **counts: int,
) -> int:
    """Replace the table by `rows` rows under an account of `read` rows; returns the version."""
    written = read - sum(counts.values())
    account = ledger.Entry(
        table=table,
        run=run,
        partitions={
            partition: ledger.PartitionCounts(
                **{"quarantined": 0, "deduplicated": 0, **counts},
                read=read,
                written=written,
                content_hash="1",
            )
        },
        verdict={"passed": True, "warnings": []},
        inputs=inputs or {},
        contract=contract,
        suite_version="s1",
        code_version="unknown",
        replay=replay,
        sequence=sequence,
        watermark=watermark,
    )
    return write(lake_root, table, written if rows is None else rows, userMetadata=account.model_dump_json())


def write(lake_root: str, table: str, rows: int, **metadata: Any) -> int:
    """Replace the table by `rows` rows; without `userMetadata` as a stranger would."""
    reference = TableRef.parse(table)
    data = pa.table({"number": pa.array(range(rows), pa.int64())})
    properties = CommitProperties(custom_metadata=metadata) if metadata else None
    write_deltalake(
        reference.uri(lake_root),
        data,
        mode="overwrite",
        schema_mode="overwrite",
        commit_properties=properties,
    )
    version = ledger.version(reference, lake_root)
    assert version is not None
    return version
