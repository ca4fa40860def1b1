"""A small client of MLflow's REST API, for what the summary shows; MLflow's own takes seconds to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx

from millstream.errors import TrackingError

TIMEOUT_S = 60.0


@dataclass(frozen=True)
class ModelRun:
    """One MLflow run with its latest metrics."""

    run_id: str
    name: str
    status: str
    metrics: dict[str, float]
    tags: dict[str, str]


@dataclass(frozen=True)
class Champion:
    """The version that carries a model's alias `champion`, and the run that made it."""

    model: str
    version: str
    description: str
    run: ModelRun


class MlflowApi:
    """Raises TrackingError when the server does not answer, or answers with an error."""

    def __init__(
        self, url: str, user: str, password: str, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.url = url
        self._client = httpx.Client(
            base_url=f"{url}/api/2.0/mlflow/",
            auth=(user, password),
            timeout=TIMEOUT_S,
            trust_env=False,
            transport=transport,
        )

    def __enter__(self) -> MlflowApi:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def _request(self, method: str, path: str, **arguments: Any) -> dict[str, Any] | None:
        """The answer; None when MLflow says that there is no such thing."""
        try:
            answer = self._client.request(method, path, **arguments)
        except httpx.HTTPError as error:
            raise TrackingError(
                f"MLflow at {self.url} does not answer {path}: {error}; see `make status`"
            ) from error
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        if answer.is_error:
            raise TrackingError(f"MLflow answered {path} with {answer.status_code}: {answer.text[:300]}")
        found: dict[str, Any] = answer.json()
        return found

    def champion(self, model: str) -> Champion | None:
        """The champion of a registered model; None when the model or the alias does not exist."""
        query = {"name": model, "alias": "champion"}
        try:
            answer = self._request("GET", "registered-models/alias", params=query)
        except TrackingError as error:
            # MLflow answers 400 when the model exists and the alias does not.
            if "alias champion not found" in str(error).lower():
                return None
            raise
        if answer is None:
            return None
        version = answer["model_version"]
        run = self.run(version["run_id"])
        return (
            None if run is None else Champion(model, version["version"], version.get("description", ""), run)
        )

    def run(self, run_id: str) -> ModelRun | None:
        answer = self._request("GET", "runs/get", params={"run_id": run_id})
        return None if answer is None else _run(answer["run"])

    def runs(self, experiment: str) -> list[ModelRun]:
        """The runs of an experiment, newest first; empty when there is no such experiment."""
        found = self._request("GET", "experiments/get-by-name", params={"experiment_name": experiment})
        if found is None:
            return []
        body = {
            "experiment_ids": [found["experiment"]["experiment_id"]],
            "order_by": ["attributes.start_time DESC"],
            "max_results": 200,
        }
        answer = self._request("POST", "runs/search", json=body) or {}
        return [_run(run) for run in answer.get("runs", [])]


def _run(data: dict[str, Any]) -> ModelRun:
    info, content = data["info"], data["data"]
    tags = {tag["key"]: tag["value"] for tag in content.get("tags", [])}
    return ModelRun(
        run_id=info["run_id"],
        name=info.get("run_name", ""),
        status=info["status"],
        metrics={metric["key"]: float(metric["value"]) for metric in content.get("metrics", [])},
        tags=tags,
    )
