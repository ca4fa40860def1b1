"""What DAG files are built from: contracts, suites, assets and addresses."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk import Asset

from millstream.contracts.contract import Contract
from millstream.contracts.sources import kafka
from millstream.engines.conf import hadoop_user, spark_conf
from millstream.engines.package import package_zip
from millstream.features import feature_table, feature_tables
from millstream.marts import Mart, load_mart, marts
from millstream.marts.partitions import require_by_month
from millstream.models import model_spec, models
from millstream.settings import Settings

if TYPE_CHECKING:
    from airflow.sdk import Context


def contract(dataset: str) -> Contract:
    """The contract of `dataset`. Raises ContractError naming file, field and what was expected."""
    return Contract.load_file(Settings().project / "dags" / "datasets" / f"{dataset}.yaml")


def stream(dataset: str) -> Contract:
    """The contract of a `dataset` that a stream reads. Raises ContractError as `contract`."""
    return Contract.load_file(Settings().project / "dags" / "streams" / f"{dataset}.yaml")


def suite(name: str) -> dict[str, Any]:
    """The expectation suite of table `name`, in Great Expectations' JSON. Raises ContractError."""
    # DAG files import this module, and need no Spark to be parsed.
    from millstream.quality.suites import suite_in

    return suite_in(Settings().project, name)


def mart(name: str) -> Mart:
    """The mart `name`.

    Raises: ConfigurationError when there is none; ContractError when it is wrong, or is to be made by month
        and cannot.
    """
    read = load_mart(Settings().project, name)
    if read.head.partition is not None:
        require_by_month(read, {table: partition_column(table) for table in read.inputs})
    return read


def datasets() -> list[str]:
    """Names of all datasets that have a contract."""
    return sorted(path.stem for path in (dags_folder() / "datasets").glob("*.yaml"))


def streams() -> list[str]:
    """Names of all datasets that a stream reads."""
    return sorted(path.stem for path in (dags_folder() / "streams").glob("*.yaml"))


def sends_alerts(dataset: str) -> bool:
    """Whether the contract of this stream says which events are alerts."""
    source = stream(dataset).source
    return isinstance(source, kafka.Source) and source.alerts is not None


def published_tables() -> list[str]:
    """Every table that a DAG publishes: of each dataset, feature table and mart, and each model's
    predictions."""
    return [
        *(f"silver.{dataset}" for dataset in datasets()),
        *(str(feature_table(name).table) for name in feature_tables()),
        *(model_spec(name).predictions_table for name in models()),
        *(f"gold.{name}" for name in marts(Settings().project)),
    ]


def made_from(table: str) -> tuple[str, ...] | None:
    """The tables from which a DAG makes `table` when one of them changes; None when no DAG publishes it."""
    zone, _, name = table.partition(".")
    if zone == "silver":
        return () if name in datasets() else None
    if name in feature_tables():
        return feature_table(name).inputs
    if name in marts(Settings().project):
        return mart(name).inputs
    predictions = {spec.predictions_table: (spec.input_table,) for spec in map(model_spec, models())}
    return predictions.get(table)


def partition_column(table: str) -> str | None:
    """The column with the months that `table` is cut by; None where it is not cut, or no DAG publishes it."""
    zone, _, name = table.partition(".")
    if zone == "silver":
        declared = contract(name).partition if name in datasets() else None
        return declared.column if declared and declared.grain == "month" else None
    if name in feature_tables():
        return feature_table(name).partition_column
    if name in marts(Settings().project):
        return load_mart(Settings().project, name).head.partition
    predictions = {spec.predictions_table: spec.partition_column for spec in map(model_spec, models())}
    return predictions.get(table)


@cache
def table_asset(table: str) -> Asset:
    """The asset of a lake table, for example `silver.flights`."""
    return Asset(name=table, uri=f"millstream://lake/{table.replace('.', '/')}", group="lake")


@cache
def model_asset(name: str) -> Asset:
    """The asset of a registered model's champion."""
    return Asset(name=f"model.{name}", uri=f"millstream://models/{name}", group="models")


def data_docs_url(page: str = "") -> str:
    """Where the Data Docs page of one validation is served: by Airflow, behind its login."""
    return f"{Settings().airflow_url}/millstream/data-docs/{page}"


def run_page(context: Context) -> str:
    """The page of a task's run in Airflow's web UI, below its address."""
    dag_run = context["dag_run"]
    assert dag_run is not None
    return f"dags/{quote(dag_run.dag_id, safe='')}/runs/{quote(dag_run.run_id, safe='')}"


def submitted_conf() -> dict[str, str]:
    """Spark settings of submitted jobs, with the pinned jars."""
    jars = sorted(str(path) for path in (Settings().root / ".millstream" / "jars").glob("*.jar"))
    return {**spark_conf("submitted"), "spark.jars": ",".join(jars)}


def yarn_conf() -> dict[str, str]:
    """Spark settings of jobs in YARN's cluster mode. Their Python asks HDFS itself, as the same user."""
    names = ("spark.yarn.appMasterEnv.HADOOP_USER_NAME", "spark.executorEnv.HADOOP_USER_NAME")
    conf = spark_conf("yarn", "yarn_cluster")
    return {**conf, "spark.ui.enabled": "false", **dict.fromkeys(names, hadoop_user())}


@cache
def code() -> Path:
    """The library as a zip: a submitted job runs the code of this checkout."""
    return package_zip(Settings().home / "tmp")


def code_version() -> str:
    """The git commit from which the stack was started, as set by the stack."""
    return os.environ.get("MILLSTREAM_CODE_VERSION", "unknown")


def lake_root() -> str:
    return Settings().lake_root


def dags_folder() -> Path:
    return Settings().project / "dags"
