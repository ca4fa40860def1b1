"""A small client of MLflow's REST API, because importing MLflow's own takes seconds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from millstream.errors import TrackingError

TIMEOUT_S = 60.0
PAGE = 1000
NONE_SUCH = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


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
        self,
        url: str,
        user: str,
        password: str,
        *,
        trust_env: bool = False,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """With `trust_env`, proxies and certificate authorities of the environment hold."""
        self.url = url
        self._client = httpx.Client(
            base_url=f"{url}/api/2.0/mlflow/",
            auth=(user, password),
            timeout=TIMEOUT_S,
            trust_env=trust_env,
            transport=transport,
        )

    def __enter__(self) -> MlflowApi:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def _answer(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            return self._client.request(method, path, **arguments)
        except httpx.HTTPError as error:
            raise TrackingError(
                f"MLflow at {self.url} does not answer {path}: {error}; see `make status`"
            ) from error

    def _request(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        return _content(self._answer(method, path, **arguments))

    def _find(self, path: str, **query: str) -> dict[str, Any] | None:
        """The answer; None when MLflow says that there is no such thing."""
        answer = self._answer("GET", path, params=query)
        if answer.is_error and any(code in answer.text for code in NONE_SUCH):
            return None
        return _content(answer)

    def champion_version(self, model: str) -> dict[str, Any] | None:
        """The version with the alias `champion`, as MLflow describes it; None when there is none."""
        answer = self._find("registered-models/alias", name=model, alias="champion")
        return None if answer is None else answer["model_version"]

    def champion(self, model: str) -> Champion | None:
        """The champion of a registered model and its run; None when the model or the alias does not exist."""
        version = self.champion_version(model)
        run = None if version is None else self.run(version["run_id"])
        if version is None or run is None:
            return None
        return Champion(model, version["version"], version.get("description", ""), run)

    def has_version(self, model: str, version: int) -> bool:
        """Whether the registry has this version of the model."""
        return self._find("model-versions/get", name=model, version=str(version)) is not None

    def versions(self) -> Iterator[dict[str, Any]]:
        """Every version of every registered model, as MLflow describes it."""
        query: dict[str, Any] = {"max_results": PAGE}
        while True:
            page = self._request("GET", "model-versions/search", params=query)
            yield from page.get("model_versions", ())
            if not (token := page.get("next_page_token")):
                return
            query["page_token"] = token

    def run(self, run_id: str) -> ModelRun | None:
        answer = self._find("runs/get", run_id=run_id)
        return None if answer is None else _run(answer["run"])

    def runs(self, experiment: str) -> list[ModelRun]:
        """The runs of an experiment, newest first; empty when there is no such experiment."""
        known = self._find("experiments/get-by-name", experiment_name=experiment)
        if known is None:
            return []
        body = {
            "experiment_ids": [known["experiment"]["experiment_id"]],
            "order_by": ["attributes.start_time DESC"],
            "max_results": 200,
        }
        answer = self._request("POST", "runs/search", json=body)
        return [_run(run) for run in answer.get("runs", [])]


def _content(answer: httpx.Response) -> dict[str, Any]:
    if answer.is_error:
        raise TrackingError(f"MLflow answered {answer.url} with {answer.status_code}: {answer.text[:300]}")
    content: dict[str, Any] = answer.json()
    return content


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
