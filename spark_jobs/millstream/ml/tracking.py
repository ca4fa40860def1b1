"""Connects to MLflow: a missing server is reported at once, and no artifact is ever unpickled."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from millstream.errors import TrackingError
from millstream.lake import history
from millstream.lake.tables import TableRef
from millstream.ml.spec import ModelSpec

CHAMPION = "champion"
CHALLENGER = "challenger"
# Of a run: what was decided about the version that was registered from it, and why.
DECISION_TAG = "millstream.decision"
# MLflow's own default of 7 tries takes about four minutes until it reports that the server does not answer.
_RETRIES = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "60"}
_SAFE = {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
# Bars for a terminal; in a log each of their states is a line, and an error.
_QUIET = {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}


def connect(experiment: str) -> Any:
    """The `mlflow` module, set to `experiment`.

    Raises: TrackingError when no server is named, or it does not answer or refuses the login.
    """
    os.environ.update({**_RETRIES, **_SAFE, **_QUIET})
    address = os.environ.get("MLFLOW_TRACKING_URI")
    if not address:
        raise TrackingError("no MLflow server is named: define the Airflow connection mlflow_default")
    _require_answer(address)
    with failures():
        import mlflow

        _log_as_others_do()
        mlflow.set_tracking_uri(address)
        # Of two processes that create an experiment at once, MLflow gives it to the slower one without making
        # it the active one: its runs would go to another.
        mlflow.set_experiment(experiment_id=mlflow.set_experiment(experiment).experiment_id)
    return mlflow


def _log_as_others_do() -> None:
    """What MLflow logs goes where everything is logged, with its level. By itself it writes that, and what it
    prints of its successes, to standard error, which Airflow takes for errors of the task."""
    from mlflow.utils.logging_utils import MLFLOW_LOGGING_STREAM

    # Not by `disable_logging`: MLflow's own code enables it again (mlflow 3.17, autologging_utils).
    stream: Any = MLFLOW_LOGGING_STREAM
    stream.write = len
    logging.getLogger("mlflow").propagate = True


# Delta's types in MLflow's words; what MLflow has no word for is told as text.
MLFLOW_TYPES = {
    **dict.fromkeys(("byte", "short", "integer"), "integer"),
    "long": "long",
    "float": "float",
    **dict.fromkeys(("double", "decimal"), "double"),
    "boolean": "boolean",
    **dict.fromkeys(("date", "timestamp", "timestamp_ntz"), "datetime"),
    "binary": "binary",
}


def _require_answer(address: str) -> None:
    import httpx

    try:
        httpx.get(f"{address}/health", timeout=10).raise_for_status()
    except httpx.HTTPError as error:
        raise TrackingError(
            f"MLflow at {address} does not answer ({error}); `make status` shows whether it is up. "
            "Nothing was registered; clear the task once it is back"
        ) from error


@contextmanager
def failures() -> Iterator[None]:
    """Turns the errors of MLflow, and of the HTTP client that carries its files, into TrackingError."""
    try:
        yield
    except Exception as error:
        if type(error).__module__.partition(".")[0] in ("mlflow", "requests"):
            raise TrackingError(
                f"MLflow: {error}. If it is not the request, `make logs S=mlflow` tells why, for instance a "
                "full disk; clear the task once that is mended"
            ) from error
        raise


def run_page(experiment_id: str, run_id: str) -> str:
    """The run's page in MLflow's web UI, as its own pages link it."""
    return f"#/experiments/{experiment_id}/runs/{run_id}"


def version_page(model: str, version: int) -> str:
    """The page of a version in the model registry."""
    return f"#/models/{model}/versions/{version}"


def url(page: str) -> str:
    """The address of a page of MLflow's web UI, without the login that the server's address may carry."""
    parts = urlsplit(os.environ["MLFLOW_TRACKING_URI"])
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/{page}"


def input_versions(spec: ModelSpec, lake_root: str, version: int) -> dict[str, int]:
    """The input table's version, and those of every table that it was made from, as recorded in its
    commit."""
    versions = {spec.input_table: version}
    for entry in history.read(TableRef.parse(spec.input_table), lake_root).accounts:
        # A later version without an account of its own has the same rows: maintenance made it.
        if entry.version is not None and entry.version <= version:
            versions.update(entry.inputs)
            break
    return versions


def verdict_pages(lake_root: str, versions: Mapping[str, int]) -> dict[str, str]:
    """The Data Docs page of the verdict that let each table's version be published, where it has one."""
    pages = {}
    for name, version in versions.items():
        accounts = history.read(TableRef.parse(name), lake_root).accounts
        published = (one for one in accounts if one.version is not None and one.version <= version)
        account = next(published, None)
        if account is not None and (page := account.verdict.get("docs_page")):
            pages[name] = str(page)
    return pages


def log_inputs(mlflow: Any, lake_root: str, versions: dict[str, int]) -> None:
    """Each table as a dataset input of the active run: path, Delta version, schema, and what its log knows of
    its rows.

    MLflow's own digest and profile would read the data again; a Delta version never changes once committed.
    """
    for table, version in sorted(versions.items()):
        mlflow.log_input(table_input(lake_root, table, version), context="training")


def table_input(lake_root: str, table: str, version: int) -> Any:
    """A version of a table as MLflow's dataset: the digest names the version, the profile has the number of
    rows, files and columns, and by what the table is cut; null what the log does not say."""
    from mlflow.data.delta_dataset_source import DeltaDatasetSource
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.types import ColSpec, Schema, TensorSpec

    uri = TableRef.parse(table).uri(lake_root)
    source = DeltaDatasetSource(path=uri, delta_table_version=version)
    present = history.snapshot(uri, version)
    if present is None:
        return MetaDataset(source=source, name=table, digest=f"v{version}")  # type: ignore[abstract]
    columns: list[ColSpec | TensorSpec] = [
        ColSpec(_mlflow_type(field["type"]), field["name"], required=not field["nullable"])
        for field in present.schema["fields"]
    ]
    figures = {
        "num_rows": present.noted_rows(),
        "num_files": len(present.files()),
        "num_columns": len(columns),
        "partitioned_by": present.partition_columns,
    }

    class TableInput(MetaDataset):
        """MLflow's dataset of metadata has no profile."""

        @property
        def profile(self) -> Any:
            return figures

        def to_dict(self) -> dict[str, str]:
            return {**super().to_dict(), "profile": json.dumps(figures)}

    return TableInput(source=source, name=table, digest=f"v{version}", schema=Schema(columns))


def _mlflow_type(kind: Any) -> str:
    """A type of Delta's schema; those of several parts are told as text."""
    return MLFLOW_TYPES.get(kind.partition("(")[0], "string") if isinstance(kind, str) else "string"
