"""Datasets whose rows change: files of events, and a table of a database that deletes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pyspark.sql import SparkSession

from millstream.contracts.contract import Contract
from millstream.lake import history
from millstream.lake.storage import Storage
from millstream.landing.run import Landing
from millstream.landing.seen import has_these_keys
from millstream.quality.suites import suite_of
from millstream.sources.sql import SqlExtractor
from millstream.transforms import table_of
from tests.support.chain import Chain

EVENTS: dict[str, Any] = {
    "dataset": "events",
    "source": {
        "kind": "files",
        "connection": "drop",
        "format": "jsonl",
        "path": "events/*.jsonl",
        "quiet_seconds": 0,
    },
    "load": "append",
    "primary_key": ["id"],
    "columns": [
        {"name": "id", "type": "int"},
        {"name": "value", "nullable": False},
        {"name": "changed", "type": "timestamp", "nullable": False},
        {"name": "state"},
    ],
}
SHOP: dict[str, Any] = {
    "dataset": "customers",
    "source": {
        "kind": "sql",
        "connection": "shop",
        "table": "customers",
        "key": "id",
        "watermark": "changed",
    },
    "load": "watermark",
    "primary_key": ["id"],
    "columns": [
        {"name": "id", "type": "bigint"},
        {"name": "name"},
        {"name": "changed", "type": "timestamp"},
        {"name": "gone", "type": "boolean"},
    ],
}


def chain_of(spark: SparkSession, folder: Path, declared: dict[str, Any], **more: Any) -> Chain:
    contract = Contract.from_dict({**declared, **more}, origin=declared["dataset"])
    return Chain(spark, folder, contract, suite_of(contract, table_of(contract.dataset, contract)))


def at(hour: int) -> str:
    """A moment, `hour` hours after the first one."""
    return f"2024-01-{1 + hour // 24:02}T{hour % 24:02}:00:00Z"


def lines(events: Iterable[tuple[Any, ...]]) -> str:
    """Events as a file: id, value, hour of the change, and state."""
    rows = [
        {"id": id_, "value": value, "changed": at(hour), "state": rest[0] if rest else None}
        for id_, value, hour, *rest in events
    ]
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def deliver(chain: Chain, name: str, *events: tuple[Any, ...]) -> dict[str, Any]:
    """Put a file of events there, and ingest what is new."""
    chain.put(f"events/{name}.jsonl", lines(events))
    return chain.run(name)


class Shop:
    """A database with a table of customers, and runs that read it by watermark, as the DAG does."""

    def __init__(self, chain: Chain, url: str) -> None:
        self.chain = chain
        self.engine = sa.create_engine(url, poolclass=sa.NullPool)
        self.execute(
            "CREATE TABLE customers "
            "(id BIGINT NOT NULL PRIMARY KEY, name TEXT, changed TIMESTAMP, gone BOOLEAN)"
        )

    def execute(self, *statements: str) -> None:
        with self.engine.begin() as connection:
            for statement in statements:
                connection.execute(sa.text(statement))

    def land(self, run: str) -> str | None:
        """Land what is new, with the watermark that it reached; None where there is nothing."""
        chain = self.chain
        landing = Landing(Storage(chain.root), chain.contract.dataset, run)
        landing.begin()
        low = history.read(chain.table, chain.root).watermark
        extractor = SqlExtractor(chain.contract, self.engine)
        files = [file for piece in extractor.plan([], low) for file in extractor.fetch(piece, landing)]
        if all(file.keys for file in files) and has_these_keys(landing, files):
            return None
        return landing.commit([], files, low).watermark_high

    def run(self, run: str) -> dict[str, Any] | None:
        """Ingest what is new; None where there is nothing."""
        return None if (reached := self.land(run)) is None else self.publish(run, reached)

    def publish(self, run: str, reached: str) -> dict[str, Any]:
        staged = self.chain.stage(run)
        self.chain.judge(run, staged)
        return self.chain.publish(run, staged, [], watermark=reached)

    def names(self) -> dict[int, str]:
        return {row["id"]: row["name"] for row in self.chain.rows().collect()}
