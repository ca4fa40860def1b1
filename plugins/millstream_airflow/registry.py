"""MLflow's model registry over HTTP, because importing MLflow's client takes seconds."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

from millstream.errors import ConfigurationError, TrackingError

if TYPE_CHECKING:
    import httpx

MLFLOW = "mlflow_default"
TIMEOUT_S = 30
PAGE = 1000
# A model version carries for each table that it was trained on the tag `input.<table>` with the version.
INPUT_TAG = "input."
NONE_SUCH = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


def champion_version(name: str) -> int | None:
    """The registry's present champion of model `name`. Raises TrackingError when MLflow does not answer."""
    answer = _ask("registered-models/alias", {"name": name, "alias": "champion"})
    if not answer.is_success and any(code in answer.text for code in NONE_SUCH):
        return None
    return int(_content(answer)["model_version"]["version"])


def has_version(name: str, version: int) -> bool:
    """Whether the registry has this version of model `name`. Raises TrackingError as `champion_version`."""
    answer = _ask("model-versions/get", {"name": name, "version": str(version)})
    if not answer.is_success and any(code in answer.text for code in NONE_SUCH):
        return False
    _content(answer)
    return True


def pinned_versions() -> dict[str, list[int]]:
    """For each table, the versions from which registered models, or their input tables, were made.

    Raises: TrackingError when MLflow does not answer, ConfigurationError when a tag is no version: nothing
        may be deleted without knowing the pins.
    """
    pins: defaultdict[str, set[int]] = defaultdict(set)
    query: dict[str, Any] = {"max_results": PAGE}
    while True:
        page = _content(_ask("model-versions/search", query))
        for version in page.get("model_versions", ()):
            for tag in version.get("tags", ()):
                if tag["key"].startswith(INPUT_TAG):
                    pins[tag["key"].removeprefix(INPUT_TAG)].add(_pin(version, tag))
        if not (token := page.get("next_page_token")):
            return {table: sorted(versions) for table, versions in sorted(pins.items())}
        query["page_token"] = token


def _pin(version: dict[str, Any], tag: dict[str, str]) -> int:
    if not re.fullmatch(r"\d{1,18}", tag["value"], re.ASCII):
        named = f"{tag['key']} of version {version.get('version')} of model {version.get('name')}"
        raise ConfigurationError(
            f"the tag {named} in MLflow is {tag['value'][:40]!r}, and has to be a table's version: correct "
            "or remove it, then clear the task"
        )
    return int(tag["value"])


def _ask(path: str, query: dict[str, Any]) -> httpx.Response:
    import httpx

    connection = BaseHook.get_connection(MLFLOW)
    url = f"{connection.schema or 'http'}://{connection.host}:{connection.port}"
    try:
        return httpx.get(
            f"{url}/api/2.0/mlflow/{path}",
            params=query,
            auth=(connection.login or "", connection.password or ""),
            timeout=TIMEOUT_S,
        )
    except httpx.HTTPError as error:
        raise TrackingError(f"MLflow at {url} does not answer: {error}; see `make status`") from error


def _content(answer: httpx.Response) -> dict[str, Any]:
    if not answer.is_success:
        raise TrackingError(f"MLflow answered {answer.url} with {answer.status_code}: {answer.text[:300]}")
    content: dict[str, Any] = answer.json()
    return content
