"""What DAG files are built from: contracts, suites, assets and addresses."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

from airflow.sdk import Asset

from millstream.contracts.contract import Contract
from millstream.contracts.documents import read_json
from millstream.engines.conf import spark_conf
from millstream.errors import ContractError
from millstream.features import feature_table, feature_tables
from millstream.models import model_spec, models
from millstream.settings import Settings


def contract(dataset: str) -> Contract:
    """The contract of `dataset`. Raises ContractError naming file, field and what was expected."""
    return Contract.load_file(Settings().root / "dags" / "datasets" / f"{dataset}.yaml")


def suite(name: str) -> dict[str, Any]:
    """The expectation suite of table `name`, in Great Expectations' JSON. Raises ContractError."""
    path = Settings().root / "expectations" / f"{name}.json"
    try:
        loaded: dict[str, Any] = read_json(path)
    except OSError as error:
        raise ContractError(
            f"{path.name}: table {name} has no suite in expectations/: without one nothing is published; "
            f"for a dataset, `make expectations DATASET={name}` proposes one"
        ) from error
    return loaded


def datasets() -> list[str]:
    """Names of all datasets that have a contract."""
    return sorted(path.stem for path in (dags_folder() / "datasets").glob("*.yaml"))


def published_tables() -> list[str]:
    """Every table that a DAG publishes: of each dataset, each feature table, and each model's predictions."""
    return [
        *(f"silver.{dataset}" for dataset in datasets()),
        *(str(feature_table(name).table) for name in feature_tables()),
        *(model_spec(name).predictions_table for name in models()),
    ]


@cache
def table_asset(table: str) -> Asset:
    """The asset of a lake table, for example `silver.flights`."""
    return Asset(name=table, uri=f"millstream://lake/{table.replace('.', '/')}", group="lake")


@cache
def model_asset(name: str) -> Asset:
    """The asset of a registered model's champion."""
    return Asset(name=f"model.{name}", uri=f"millstream://models/{name}", group="models")


def data_docs_url(page: str) -> str:
    """Where the Data Docs page of one validation is served: by Airflow, behind its login."""
    return f"{Settings().airflow_url}/millstream/data-docs/{page}"


def submitted_conf() -> dict[str, str]:
    """Spark settings of submitted jobs, with the pinned jars."""
    jars = sorted(str(path) for path in (Settings().root / ".millstream" / "jars").glob("*.jar"))
    return {**spark_conf("submitted"), "spark.jars": ",".join(jars)}


def code_version() -> str:
    """The git commit from which the stack was started, as set by the stack."""
    return os.environ.get("MILLSTREAM_CODE_VERSION", "unknown")


def lake_root() -> str:
    return Settings().lake_root


def dags_folder() -> Path:
    return Settings().root / "dags"
