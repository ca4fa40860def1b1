"""Publishes in memory: requests, and a lake whose histories are what earlier decisions would have written."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from millstream.contracts.contract import Contract
from millstream.lake.accounts import Account, PartitionCounts
from millstream.lake.history import Commit, Histories, History
from millstream.lake.tables import TableRef
from millstream.publishing.decide import Publication, decide
from millstream.publishing.request import Request
from millstream.publishing.state import LakeState
from millstream.quality.verdict import Verdict
from millstream.settings import CHECKOUT

TABLE = TableRef.parse("silver.flights")
CONTRACT = Contract.load_file(CHECKOUT / "dags" / "datasets" / "flights.yaml").model_dump(mode="json")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
BOTH = ("2013-01", "2013-02")
PATH = "landing/flights/0123456789ab-a.csv"
Counts = dict[str, PartitionCounts]


def four(content: str = "1", **counts: int) -> PartitionCounts:
    """Four rows, all of them published but for those that `counts` says."""
    left_out = {"quarantined": 0, "deduplicated": 0, **counts}
    broken = str(left_out["quarantined"])
    written = 4 - sum(left_out.values())
    return PartitionCounts(read=4, written=written, content_hash=content, quarantine_hash=broken, **left_out)


def months(run: str, *partitions: str, began: datetime = NOON, **more: Any) -> Request:
    """A run that has landed these months, and read four rows of each."""
    fields: dict[str, Any] = {
        "table": str(TABLE),
        "run": run,
        "sequence": 1,
        "rows_read": 4 * len(partitions),
        "load": "partition",
        "partitions": partitions,
        "partition_column": "month",
        "contract": CONTRACT,
        "contract_version": 1,
        "code_version": "c",
        "fetch_began": began,
    }
    return Request(**{**fields, **more})


def whole(run: str, rows: int = 4, **more: Any) -> Request:
    """A run that makes the whole table, from other tables."""
    return months(run, rows_read=rows, load="full", contract=None, **more)


def increment(run: str, watermark: str | None = "2013-01-01", **more: Any) -> Request:
    return months(run, rows_read=4, load="watermark", watermark=watermark, partition_column=None, **more)


def verdict(**changes: Any) -> Verdict:
    fields: dict[str, Any] = {
        "table": str(TABLE),
        "suite": "s",
        "suite_version": "s1",
        "run": "r",
        "staged_version": 0,
        "evaluated": 4,
        "quarantined_rows": 0,
        "passed": True,
        "reason": "7 rules",
        "rules": [],
    }
    return Verdict(**{**fields, **changes})


@dataclass
class Lake:
    """Commits, newest first, of the table and of its quarantine."""

    table: list[Commit] = field(default_factory=list)
    quarantine: list[Commit] = field(default_factory=list)

    def histories(self) -> Histories:
        return Histories(History(TABLE, tuple(self.table)), History(TABLE.quarantine, tuple(self.quarantine)))

    def decide(
        self, request: Request, counts: Counts | None = None, suite_version: str = "s1", **state: Any
    ) -> Publication:
        counts = counts or {name: four() for name in request.partitions or ("all",)}
        broken = sum(one.quarantined for one in counts.values())
        judged = verdict(quarantined_rows=broken, suite_version=suite_version)
        return decide(request, counts, broken, judged, LakeState(self.histories(), **state))

    def publish(self, request: Request, counts: Counts | None = None, cut_off: bool = False) -> None:
        """As it would be written; `cut_off` behind the first of its two commits."""
        made = self.decide(request, counts)
        if made.has_quarantine:
            self.commit(self.quarantine, made.account, "WRITE", made.quarantine_condition)
        if not cut_off:
            operation = "MERGE" if made.scope == "rows" else "WRITE"
            self.commit(self.table, made.account, operation, made.condition)

    def commit(
        self, to: list[Commit], account: Account | None, operation: str, predicate: str | None = None
    ) -> None:
        metadata = account.model_dump_json() if account else ""
        to.insert(0, Commit(len(to), operation, 1000, metadata, predicate))


def lake_with(*requests: Request) -> Lake:
    lake = Lake()
    for request in requests:
        lake.publish(request)
    return lake
