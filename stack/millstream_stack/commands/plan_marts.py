"""What `make plan` says of a mart: the whole table, or which months, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from millstream.lake.history import History
from millstream.lake.tables import TableRef
from millstream.publishing.mart_changes import WHOLE_TABLE, Rebuild, rebuild_of
from millstream.quality.suite import Suite

if TYPE_CHECKING:
    from airflow.sdk import DAG


def made_by(dag: DAG, lake_root: str, history_of: Callable[[TableRef], History]) -> Rebuild | None:
    """What a run of a mart's DAG would make; None of another DAG.

    Raises: ContractError when the mart is wrong.
    """
    from millstream_airflow import catalog

    names = [name for task in dag.tasks if (name := getattr(task, "mart", None))]
    if not names:
        return None
    mart = catalog.mart(names[0])
    versions = {table: history_of(TableRef.parse(table)).published_version for table in mart.inputs}
    inputs = {table: version for table, version in versions.items() if version is not None}
    if absent := sorted(versions.keys() - inputs.keys()):
        return Rebuild((), f"not published yet: {', '.join(absent)}")
    if mart.head.partition is None:
        return WHOLE_TABLE
    cut_by = {table: catalog.partition_column(table) for table in mart.inputs}
    suite = Suite.from_dict(catalog.suite(mart.name))
    return rebuild_of(mart, inputs, cut_by, suite.version, lake_root)
