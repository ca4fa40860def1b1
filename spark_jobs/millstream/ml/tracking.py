"""Connects to MLflow: a missing server is reported at once, and no artifact is ever unpickled."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
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


def log_inputs(mlflow: Any, lake_root: str, versions: dict[str, int]) -> None:
    """Each table as a dataset input of the active run: path, Delta version, and a digest made of both.

    MLflow's own digest would read the data again; a Delta version never changes once committed.
    """
    from mlflow.data.delta_dataset_source import DeltaDatasetSource
    from mlflow.data.meta_dataset import MetaDataset

    for table, version in sorted(versions.items()):
        source = DeltaDatasetSource(path=TableRef.parse(table).uri(lake_root), delta_table_version=version)
        # Its `profile` has a default that the type checker does not see.
        dataset = MetaDataset(source=source, name=table, digest=f"v{version}")  # type: ignore[abstract]
        mlflow.log_input(dataset, context="training")
