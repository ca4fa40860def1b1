"""Rows that leave the table because the source has deleted them: which they are, and how many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from millstream.bronze.parts import parts_of
from millstream.bronze.rows import read_landing
from millstream.bronze.typed import typed
from millstream.contracts.contract import Contract
from millstream.lake.tables import WHOLE, TableRef
from millstream.landing.manifest import Manifest
from millstream.publishing.fate import is_published, is_tombstone
from millstream.publishing.request import Request
from millstream.publishing.state import LakeState
from millstream.transforms import Table


@dataclass(frozen=True)
class Deletions:
    """How many rows leave, by the partition that they count under, of how many that the table has."""

    by_partition: Mapping[str, int] = field(default_factory=dict)
    of: int = 0

    @property
    def total(self) -> int:
        return sum(self.by_partition.values())


def leaving(
    spark: SparkSession, request: Request, table: Table, rows: DataFrame, state: LakeState, lake_root: str
) -> DataFrame | None:
    """Key and `_partition` of the table's rows that leave; None where there can be none.

    `rows` are the run's, with their fate. Keys that the run has listed say nothing of what a later one has
    published, and a replay's are outdated.
    """
    contract = Contract.from_dict(request.contract, origin="contract") if request.contract else None
    if contract is None or contract.deletes == "ignore" or state.histories.table.version is None:
        return None
    if request.rebuild:
        # All rows make room.
        return None
    published = spark.read.format("delta").load(TableRef.parse(request.table).uri(lake_root))
    month = F.col(request.partition_column) if request.partition_column else F.lit(WHOLE)
    present = published.select(*table.key, month.alias("_partition"))
    if not contract.compares_keys:
        marked = rows.where(is_tombstone()).select(*table.key, "_partition")
        return present.join(marked, [*table.key, "_partition"], "left_semi")
    if state.manifest is None or not state.manifest.keys or request.replay or _is_outdated(request, state):
        return None
    listed = _listed(spark, contract, lake_root, state.manifest)
    brought = rows.where(is_published()).select(*table.key)
    return present.join(listed.unionByName(brought), list(table.key), "left_anti")


def _is_outdated(request: Request, state: LakeState) -> bool:
    """Whether a run that began later has published."""
    began = request.fetch_began
    times = [account.fetch_began for account in state.histories.table.standing if account.fetch_began]
    return began is not None and any(time > began for time in times)


def _listed(spark: SparkSession, contract: Contract, lake_root: str, manifest: Manifest) -> DataFrame:
    """The keys that the source had, read as the rows are."""
    keys = tuple(column for column in contract.columns if column.name in contract.primary_key)
    of_keys = contract.model_copy(update={"columns": keys})
    rows = typed(read_landing(spark, of_keys, lake_root, parts_of(manifest.keys)), of_keys)
    return rows.select(*(F.col(column.name).alias(column.table_name) for column in keys))
