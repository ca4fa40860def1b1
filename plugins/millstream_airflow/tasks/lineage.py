"""What a job read and wrote, for OpenLineage: lake tables with their Delta versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from millstream.lake.tables import TableRef
from millstream.models import model_spec

if TYPE_CHECKING:
    from openlineage.client.event_v2 import Dataset
    from openlineage.client.facet_v2 import DatasetFacet


def tables_read(arguments: dict[str, Any], result: dict[str, Any]) -> dict[str, int]:
    """Table -> version, from the job's result or, for a training, its arguments."""
    versions = dict(result.get("inputs") or arguments.get("inputs") or {})
    if "input_version" in arguments:
        versions[model_spec(arguments["model"]).input_table] = arguments["input_version"]
    # Predictions name their model among their inputs; a model is no table.
    return {name: version for name, version in versions.items() if not name.startswith("model.")}


def tables_written(result: dict[str, Any]) -> dict[str, int]:
    """Table -> version of the table that the job made a version of."""
    return {result["table"]: result["version"]} if {"table", "version"} <= result.keys() else {}


def dataset(table: str, version: int, lake_root: str) -> Dataset:
    """`table` at `version`, named by OpenLineage's rules for files and HDFS.

    Source: https://openlineage.io/docs/spec/naming
    """
    from openlineage.client.event_v2 import Dataset
    from openlineage.client.generated.dataset_version_dataset import DatasetVersionDatasetFacet

    address = urlsplit(TableRef.parse(table).uri(lake_root))
    namespace = f"{address.scheme}://{address.netloc}" if address.netloc else address.scheme
    facets: dict[str, DatasetFacet] = {"version": DatasetVersionDatasetFacet(datasetVersion=str(version))}
    return Dataset(namespace=namespace, name=address.path, facets=facets)
