"""Runs marts on a lake of the test's own, without Airflow."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from millstream import jobs
from millstream.lake import history
from millstream.lake.tables import TableRef
from millstream.marts import Mart
from millstream.quality.suites import suite_of_mart
from tests.support.chain import Chain


class Marts:
    """The marts of one lake."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain

    def run(self, run: str, mart: Mart, *rules: dict[str, Any], data_docs: bool = False) -> dict[str, Any]:
        root, spark = self.chain.root, self.chain.spark
        inputs = {name: history.read(TableRef.parse(name), root).published_version for name in mart.inputs}
        common = {"lake_root": root, "run": run}
        given = mart.model_dump(mode="json")
        staged = jobs.execute(spark, "build_mart", {**common, "mart": given, "inputs": inputs})
        judged = {
            **common,
            "table": str(mart.table),
            "staged_uri": staged["staged_uri"],
            "staged_version": staged["staged_version"],
            "suite": suite_of_mart(mart, {"name": mart.name, "expectations": list(rules)}),
        }
        jobs.execute(spark, "quality_gate", {**judged, "data_docs": data_docs})
        request = {
            "sequence": history.read_both(mart.table, root).next_sequence(datetime.now(UTC)),
            "rows_read": staged["rows"],
            "load": "full",
            "inputs": staged["inputs"],
            "code_version": mart.version,
            "mart": given,
        }
        return jobs.execute(spark, "publish", {**judged, **request})

    def rows(self, mart: Mart) -> set[tuple[Any, ...]]:
        return {tuple(row) for row in self.chain.rows(mart.table).collect()}
