"""The champion that a stream scores with: asked for at each batch, loaded when it is another one.

While MLflow does not answer, the last one goes on being used, also by a stream that starts anew.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from pyspark.ml import PipelineModel

from millstream.errors import ConfigurationError, TrackingError
from millstream.ml import stored, tracking
from millstream.ml.mlflow_api import MlflowApi
from millstream.ml.spec import ModelSpec


@dataclass(frozen=True)
class Champion:
    """A version of a model, loaded."""

    version: int
    model: PipelineModel


class Champions:
    """The champion of one model. `note` says why the one last given may no longer be it."""

    def __init__(self, spec: ModelSpec, lake_root: str) -> None:
        self._spec = spec
        self._lake_root = lake_root
        self._last: Champion | None = None
        self.note = ""

    def present(self, last_used: int | None) -> Champion:
        """The champion; while MLflow does not answer, that of the last call, or the version `last_used`,
        whose files are in the lake since then.

        Raises: ConfigurationError: there is none; TrackingError: MLflow does not answer, and none was used
            before; ArtifactDigestError: its files are not those that were registered.
        """
        try:
            version = self._asked()
            if version is None:
                name = self._spec.name
                raise ConfigurationError(f"model {name} has no champion yet. What to do: run train_{name}")
            if self._last is None or self._last.version != version:
                self._last = Champion(version, self._loaded(version))
            self.note = ""
        except TrackingError as error:
            if self._last is None:
                if last_used is None:
                    raise
                self._last = Champion(last_used, self._kept(last_used))
            self.note = f"goes on with version {self._last.version}: {error}"
        return self._last

    def _asked(self) -> int | None:
        """By a small client: to import MLflow's own takes seconds, and only another version needs it."""
        url = os.environ.get("MLFLOW_TRACKING_URI", "")
        if not url:
            raise TrackingError("no MLflow server is named: MLFLOW_TRACKING_URI is not set")
        login = (os.environ.get(f"MLFLOW_TRACKING_{name}", "") for name in ("USERNAME", "PASSWORD"))
        with MlflowApi(url, *login, trust_env=True) as mlflow:
            version = mlflow.champion_version(self._spec.name)
        return None if version is None else int(version["version"])

    def _loaded(self, version: int) -> PipelineModel:
        mlflow = tracking.connect(self._spec.name)
        with tracking.failures():
            registered = mlflow.MlflowClient().get_model_version(self._spec.name, str(version))
            return stored.load(stored.in_lake(mlflow, registered, self._lake_root))

    def _kept(self, version: int) -> PipelineModel:
        """The version as it was put into the lake, from the registry, when it was first used."""
        folder = stored.registered_folder(self._spec.name, version)
        return stored.load(f"{self._lake_root.rstrip('/')}/{folder}")
