"""Runs marts on a lake of the test's own, without Airflow."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from millstream import jobs
from millstream.lake import history
from millstream.lake.tables import TableRef
from millstream.marts import LEAST_ROWS, Mart
from millstream.publishing.mart_changes import WHOLE_TABLE, Rebuild
from millstream.quality.suites import suite_of_mart
from tests.support.chain import Chain


class Marts:
    """The marts of one lake."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain

    def run(
        self,
        run: str,
        mart: Mart,
        *rules: dict[str, Any],
        data_docs: bool = False,
        rebuild: Rebuild = WHOLE_TABLE,
    ) -> dict[str, Any]:
        """Build, judge and publish the mart, or the months of `rebuild`, as its DAG does."""
        root, spark = self.chain.root, self.chain.spark
        common = {"lake_root": root, "run": run}
        given, months = mart.model_dump(mode="json"), list(rebuild.months or ())
        of = {"mart": given, "inputs": self.inputs(mart), "partitions": months}
        staged = jobs.execute(spark, "build_mart", {**common, **of})
        judged = {
            **common,
            "table": str(mart.table),
            "staged_uri": staged["staged_uri"],
            "staged_version": staged["staged_version"],
            "suite": suite_of_mart(mart, {"name": mart.name, "expectations": list(rules)}),
        }
        cut_by = {"partitions": months, "partition_column": mart.head.partition}
        parameters = {LEAST_ROWS: 0} if months else {}
        jobs.execute(
            spark, "quality_gate", {**judged, **cut_by, "parameters": parameters, "data_docs": data_docs}
        )
        request = {
            "sequence": history.read_both(mart.table, root).next_sequence(datetime.now(UTC)),
            "rows_read": staged["rows"],
            "load": "partition" if months else "full",
            **cut_by,
            "rest": rebuild.rest if months else None,
            "inputs": staged["inputs"],
            "code_version": mart.version,
            "mart": given,
        }
        return jobs.execute(spark, "publish", {**judged, **request})

    def inputs(self, mart: Mart) -> dict[str, int]:
        """The present versions of its tables."""
        root = self.chain.root
        read = {name: history.read(TableRef.parse(name), root).published_version for name in mart.inputs}
        return {name: version for name, version in read.items() if version is not None}

    def rows(self, mart: Mart) -> set[tuple[Any, ...]]:
        return {tuple(row) for row in self.chain.rows(mart.table).collect()}
