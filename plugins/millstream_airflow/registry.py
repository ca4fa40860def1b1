"""MLflow's model registry, asked with Airflow's connection."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

from millstream.errors import ConfigurationError

if TYPE_CHECKING:
    from millstream.ml.mlflow_api import MlflowApi

MLFLOW = "mlflow_default"
# A model version carries for each table that it was trained on the tag `input.<table>` with the version.
INPUT_TAG = "input."


def champion_version(name: str) -> int | None:
    """The registry's present champion of model `name`. Raises TrackingError when MLflow does not answer."""
    with _mlflow() as mlflow:
        version = mlflow.champion_version(name)
    return None if version is None else int(version["version"])


def has_version(name: str, version: int) -> bool:
    """Whether the registry has this version of model `name`. Raises TrackingError as `champion_version`."""
    with _mlflow() as mlflow:
        return mlflow.has_version(name, version)


def pinned_versions() -> dict[str, list[int]]:
    """For each table, the versions from which registered models, or their input tables, were made.

    Raises: TrackingError when MLflow does not answer, ConfigurationError when a tag is no version: nothing
        may be deleted without knowing the pins.
    """
    pins: defaultdict[str, set[int]] = defaultdict(set)
    with _mlflow() as mlflow:
        for version in mlflow.versions():
            for tag in version.get("tags", ()):
                if tag["key"].startswith(INPUT_TAG):
                    pins[tag["key"].removeprefix(INPUT_TAG)].add(_pin(version, tag))
    return {table: sorted(versions) for table, versions in sorted(pins.items())}


def _pin(version: dict[str, Any], tag: dict[str, str]) -> int:
    if not re.fullmatch(r"\d{1,18}", tag["value"], re.ASCII):
        named = f"{tag['key']} of version {version.get('version')} of model {version.get('name')}"
        raise ConfigurationError(
            f"the tag {named} in MLflow is {tag['value'][:40]!r}, and has to be a table's version: correct "
            "or remove it, then clear the task"
        )
    return int(tag["value"])


def _mlflow() -> MlflowApi:
    # DAG files import this module, and httpx is not needed to parse them.
    from millstream.ml.mlflow_api import MlflowApi

    connection = BaseHook.get_connection(MLFLOW)
    url = f"{connection.schema or 'http'}://{connection.host}:{connection.port}"
    return MlflowApi(url, connection.login or "", connection.password or "", trust_env=True)
