"""`make expectations`: a suite proposed from a dataset's rows, over the Spark Connect server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from rich.console import Console

from millstream.contracts.contract import Contract
from millstream.engines import sessions
from millstream.errors import ConfigurationError
from millstream.lake import history
from millstream.lake.storage import Storage
from millstream.lake.tables import TableRef
from millstream.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def propose_suite(settings: Settings, dataset: str, screen: Console) -> Path:
    """Write `expectations/proposed/<dataset>.json`, made from the published table, or if there is none from
    the newest staged one.

    Raises:
        ConfigurationError: the dataset has no rows yet, or a proposal lies there already.
        ContractError: the dataset has no contract.
        ClusterError: the server does not answer.
    """
    from millstream.quality.profile import propose
    from millstream.transforms import table_of

    table = TableRef.parse(f"silver.{dataset}")
    contract = Contract.load_file(settings.project / "dags" / "datasets" / f"{dataset}.yaml")
    target = settings.project / "expectations" / "proposed" / f"{dataset}.json"
    if target.exists():
        raise ConfigurationError(f"{target} is there already: move or delete it first")
    column = contract.partition.column if contract.partition else None
    attempt = f"expectations/{uuid4()}"
    with sessions.connect(settings.connect_url, attempt, [], tag="expectations") as spark:
        rows = _rows(spark, table, settings.lake_root)
        suite = propose(rows, str(table), table_of(dataset, contract).key, column)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(suite, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    screen.print(
        f"{len(suite['expectations'])} expectations in {target}. Read and correct them: they say what the "
        f"rows are like, mistakes included. Then move the file to {target.parents[1] / target.name}.",
        markup=False,
        soft_wrap=True,
    )
    return target


def _rows(spark: SparkSession, table: TableRef, lake_root: str) -> DataFrame:
    from millstream.quality.gate import publishable

    if history.version(table, lake_root) is not None:
        return spark.read.format("delta").load(table.uri(lake_root))
    staged = _newest_staged(table, lake_root)
    return publishable(spark.read.format("delta").load(staged))


def _newest_staged(table: TableRef, lake_root: str) -> str:
    """Where the rows lie that were staged last. Raises ConfigurationError when there are none."""
    runs = [name for name in Storage(lake_root).list(f"staging/{table}") if not name.endswith(".json")]
    uris = [table.staging_uri(lake_root, run) for run in runs]
    written = {uri: commit.made_at for uri in uris for commit in history.newest_commits(uri, 1)}
    if not written:
        raise ConfigurationError(
            f"{table} has neither published nor staged rows: run the DAG ingest_{table.name} first"
        )
    return max(written, key=written.__getitem__)
