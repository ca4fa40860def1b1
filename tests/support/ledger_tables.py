"""Tables with accounts in their commits, written without Spark: for what only reads them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, write_deltalake

from millstream.lake import history
from millstream.lake.accounts import Account, PartitionCounts
from millstream.lake.tables import TableRef


def account(
    table: str,
    run: str,
    *,
    read: int,
    partition: str = "all",
    inputs: dict[str, int] | None = None,
    contract: dict[str, Any] | None = None,
    replay: str | None = None,
    sequence: int = 0,
    watermark: str | None = None,
    fetch_began: datetime | None = None,
    code_version: str = "unknown",
    suite_version: str = "s1",
    **counts: int,
) -> Account:
    """An account of `read` rows of one partition; those that `counts` does not name are written."""
    return Account(
        table=table,
        run=run,
        partitions={
            partition: PartitionCounts(
                **{"quarantined": 0, "deduplicated": 0, **counts},
                read=read,
                written=read - sum(counts.values()),
                content_hash="1",
            )
        },
        verdict={"passed": True, "warnings": []},
        inputs=inputs or {},
        contract=contract,
        suite_version=suite_version,
        code_version=code_version,
        replay=replay,
        sequence=sequence,
        watermark=watermark,
        fetch_began=fetch_began,
    )


def publish(
    lake_root: str,
    table: str,
    run: str,
    *,
    read: int,
    rows: int | None = None,
    schema: pa.Schema | None = None,
    **more: Any,
) -> int:
    """Replace the table by `rows` rows under an account of `read` rows; returns the version.

    Quarantined rows are written first, under the same account, as a publish does it.
    """
    entry = account(table, run, read=read, **more)
    metadata = {"userMetadata": entry.model_dump_json()}
    partition = next(iter(entry.partitions))
    if entry.quarantined:
        write(
            lake_root, str(TableRef.parse(table).quarantine), entry.quarantined, None, partition, **metadata
        )
    return write(lake_root, table, entry.written if rows is None else rows, schema, partition, **metadata)


def write(
    lake_root: str,
    table: str,
    rows: int,
    schema: pa.Schema | None = None,
    partition: str = "all",
    **metadata: Any,
) -> int:
    """Replace the table, or its month `partition`, by `rows` rows, of nulls if `schema` says their columns;
    without `userMetadata` as a stranger would."""
    reference = TableRef.parse(table)
    schema = schema or pa.schema([("number", pa.int64()), ("month", pa.string())])
    known = {"number": list(range(rows)), "month": [partition] * rows}
    data = pa.table(
        [
            pa.array(known[field.name], field.type) if field.name in known else pa.nulls(rows, field.type)
            for field in schema
        ],
        schema=schema,
    )
    replaces = partition != "all" and history.version(reference, lake_root) is not None
    properties = CommitProperties(custom_metadata=metadata) if metadata else None
    write_deltalake(
        reference.uri(lake_root),
        data,
        mode="overwrite",
        schema_mode=None if replaces else "overwrite",
        predicate=f"month = '{partition}'" if replaces else None,
        commit_properties=properties,
    )
    version = history.version(reference, lake_root)
    assert version is not None
    return version
