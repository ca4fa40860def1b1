"""Runs the ingest chain's jobs on a lake of the test's own, without Airflow."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from millstream import jobs
from millstream.contracts.contract import Contract
from millstream.lake import history
from millstream.lake.accounts import Account
from millstream.lake.storage import Storage
from millstream.lake.tables import DECISIONS, TableRef
from millstream.landing.run import Landing
from millstream.quality.suites import suite_in
from millstream.settings import CHECKOUT
from millstream.sources.files import FilesExtractor

FLIGHTS_HEADER = (
    "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,"
    "carrier,flight,tailnum,origin,dest,air_time,distance,hour,minute,time_hour"
)


def contract_of(dataset: str, **changes: Any) -> Contract:
    """The contract that the DAGs use, with `changes`."""
    real = Contract.load_file(CHECKOUT / "dags" / "datasets" / f"{dataset}.yaml")
    return Contract.from_dict({**real.model_dump(mode="json"), **changes}, origin=dataset)


def suite_of(table: str) -> dict[str, Any]:
    """The suite that the DAGs use."""
    return suite_in(CHECKOUT, table)


def small_suite(*expectations: dict[str, Any]) -> dict[str, Any]:
    return {"name": "small", "expectations": list(expectations), "meta": {"malformed_mostly": 0.1}}


def month_zip(*rows: str, header: str = FLIGHTS_HEADER) -> bytes:
    """A month of flights as its source delivers it."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("flights.csv", "\n".join([header, *rows, ""]))
    return stream.getvalue()


class Chain:
    """One lake, one dataset, files from `drop`. The lake is in `folder`, or at another `root`."""

    def __init__(
        self, spark: SparkSession, folder: Path, contract: Contract, suite: dict[str, Any], root: str = ""
    ) -> None:
        self.spark = spark
        self.root = root or f"file://{folder}/lake"
        self.drop = folder / "drop"
        self.drop.mkdir(exist_ok=True)
        self.contract = contract
        self.suite = suite
        self.table = TableRef(zone="silver", name=contract.dataset)
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def put(self, path: str, content: str | bytes) -> None:
        target = self.drop / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)

    def job(self, name: str, run: str, **arguments: Any) -> dict[str, Any]:
        return jobs.execute(self.spark, name, {"lake_root": self.root, "run": run, **arguments})

    def land(self, run: str, partitions: list[str], now: Callable[[], datetime] | None = None) -> None:
        landing = Landing(Storage(self.root), self.contract.dataset, run, now or self.now)
        landing.begin()
        extractor = FilesExtractor(self.contract, self.drop)
        files = [file for piece in extractor.plan(partitions) for file in extractor.fetch(piece, landing)]
        landing.commit(partitions, files)

    def stage(self, run: str, mode: str = "elt") -> dict[str, Any]:
        if mode == "elt":
            self.load_bronze(run)
        return self.transform(run, mode)

    def load_bronze(self, run: str) -> dict[str, Any]:
        return self.job("load_bronze", run, contract=self.contract.model_dump(mode="json"))

    def transform(self, run: str, mode: str = "elt", **more: Any) -> dict[str, Any]:
        return self.job("transform", run, contract=self.contract.model_dump(mode="json"), mode=mode, **more)

    def judge(self, run: str, staged: dict[str, Any], partitions: list[str] | None = None) -> dict[str, Any]:
        more = {"inputs": staged.get("inputs"), "contract": self.contract.model_dump(mode="json")}
        judged = {**self._judged(staged), "suite": self.suite, "partitions": partitions}
        return self.job("quality_gate", run, **judged, **more)

    def publish(
        self,
        run: str,
        staged: dict[str, Any],
        partitions: list[str],
        sequence: int | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        partition = self.contract.partition
        arguments = {
            "sequence": sequence or history.read_both(self.table, self.root).next_sequence(self.now()),
            "rows_read": staged["rows"],
            "load": self.contract.load,
            "partitions": partitions,
            "partition_column": partition.column if partition else None,
            "suite": self.suite,
            "contract": self.contract.model_dump(mode="json"),
            "drift": staged["drift"],
            "fetch_began": staged.get("fetch_began"),
            "contract_version": self.contract.version,
            "code_version": "test",
            **more,
        }
        return self.job("publish", run, **self._judged(staged), **arguments)

    def run(self, run: str, partitions: list[str] | None = None, mode: str = "elt") -> dict[str, Any]:
        months = partitions or []
        self.land(run, months)
        staged = self.stage(run, mode)
        self.judge(run, staged)
        return self.publish(run, staged, months)

    def find(self, run: str, **chosen: str) -> dict[str, Any]:
        return self.job("find_quarantined", run, contract=self.contract.model_dump(mode="json"), **chosen)

    def decide(self, run: str, action: str, version: int | None = None, **chosen: str) -> dict[str, Any]:
        """A decision on the rows of the quarantine, as it is or as it was at `version`."""
        if version is None:
            searched = DECISIONS if action == "withdraw" else self.table.quarantine
            version = history.version(searched, self.root)
        return self.job(
            "record_decision",
            run,
            table=str(self.table),
            version=version,
            action=action,
            decided_by="ada",
            decided_at=datetime.now(UTC).isoformat(),
            note="seen with the source",
            **chosen,
        )

    def replay(self, run: str, found: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """Publish what has rows in quarantine once more, piece by piece, as the DAG does."""
        results = []
        for number, piece in enumerate((found or self.find(run))["pieces"]):
            own = f"{run}.{number}"
            staged = self.transform(own, "replay", **piece)
            self.judge(own, staged)
            results.append(self.publish(piece["source_run"], staged, piece["partitions"], replay=run))
        return results

    def copied(self, spark: SparkSession, folder: Path) -> Chain:
        """The same lake and drop folder once more, for a test of its own: a table does not know its place."""
        shutil.copytree(self.drop.parent, folder, dirs_exist_ok=True)
        return Chain(spark, folder, self.contract, self.suite)

    def rows(self, table: TableRef | None = None) -> DataFrame:
        return self.spark.read.format("delta").load((table or self.table).uri(self.root))

    def version(self) -> int | None:
        return history.version(self.table, self.root)

    def account(self) -> Account:
        return history.read(self.table, self.root).accounts[0]

    def _judged(self, staged: dict[str, Any]) -> dict[str, Any]:
        return {
            "table": str(self.table),
            "staged_uri": staged["staged_uri"],
            "staged_version": staged["staged_version"],
        }
