"""`make expectations`: a suite proposed from the rows of a dataset or a mart, over Spark Connect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from rich.console import Console

from millstream.contracts.contract import Contract, contract_file
from millstream.engines import sessions
from millstream.errors import ConfigurationError
from millstream.lake import history
from millstream.lake.storage import Storage
from millstream.lake.tables import TableRef
from millstream.marts import load_mart, marts
from millstream.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def propose_suite(settings: Settings, dataset: str, screen: Console) -> Path:
    """Write `expectations/proposed/<dataset>.json`, made from the published table, or if there is none from
    the newest staged one. `dataset` may be a mart: then from its table.

    Raises:
        ConfigurationError: there are no rows yet, or a proposal lies there already.
        ContractError: there is neither a contract nor a mart of that name.
        ClusterError: the server does not answer.
    """
    target = settings.project / "expectations" / "proposed" / f"{dataset}.json"
    if target.exists():
        raise ConfigurationError(f"{target} is there already: move or delete it first")
    is_mart = contract_file(settings.project, dataset) is None and dataset in marts(settings.project)
    made = _of_mart if is_mart else _of_dataset
    attempt = f"expectations/{uuid4()}"
    with sessions.connect(settings.connect_url, attempt, [], tag="expectations") as spark:
        suite = made(spark, settings, dataset)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(suite, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    screen.print(
        f"{len(suite['expectations'])} expectations in {target}. Read and correct them: they say what the "
        f"rows are like, mistakes included. Then move the file to {target.parents[1] / target.name}.",
        markup=False,
        soft_wrap=True,
    )
    return target


def _of_dataset(spark: SparkSession, settings: Settings, name: str) -> dict[str, Any]:
    from millstream.quality.profile import propose
    from millstream.transforms import table_of

    table = TableRef.parse(f"silver.{name}")
    contract = Contract.load_file(settings.project / "dags" / "datasets" / f"{name}.yaml")
    column = contract.partition.column if contract.partition else None
    rows = _rows(spark, table, settings.lake_root)
    return propose(rows, str(table), table_of(name, contract).key, column)


def _of_mart(spark: SparkSession, settings: Settings, name: str) -> dict[str, Any]:
    from millstream.quality.profile import propose

    mart = load_mart(settings.project, name)
    if history.version(mart.table, settings.lake_root) is None:
        raise ConfigurationError(f"{mart.table} is not there yet: run the DAG mart_{name} first")
    rows = spark.read.format("delta").load(mart.table.uri(settings.lake_root))
    return propose(rows, str(mart.table), mart.head.key, whole=not mart.head.partition)


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
