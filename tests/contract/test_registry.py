"""What is read from MLflow's registry by plain HTTP; and that no answer is never taken for no pins."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from millstream.errors import ConfigurationError, TrackingError
from millstream_airflow.registry import champion_version, has_version, pinned_versions
from tests.support.loopback import closed_port, serve

Answer = Callable[[Request], JSONResponse]


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answer], Any]:
    @contextmanager
    def at(answer: Answer) -> Iterator[None]:
        app = FastAPI()

        @app.get("/{path:path}")
        def any_path(request: Request) -> JSONResponse:
            return answer(request)

        with serve(app) as url:
            connect(monkeypatch, int(url.rpartition(":")[2]))
            yield

    return at


def connect(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    connection = {"conn_type": "http", "host": "127.0.0.1", "port": port, "login": "a", "password": "b"}
    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW_DEFAULT", json.dumps(connection))


def version(**inputs: int) -> dict[str, Any]:
    tags = [{"key": f"input.silver.{name}", "value": str(number)} for name, number in inputs.items()]
    return {"name": "m", "version": "1", "tags": [*tags, {"key": "candidate", "value": "tree"}]}


def test_pins_are_those_of_all_versions_on_all_pages(registry: Callable[[Answer], Any]) -> None:
    pages = {
        None: {"model_versions": [version(flights=3, planes=1)], "next_page_token": "more"},
        "more": {"model_versions": [version(flights=2), {"name": "m", "version": "9"}]},
    }

    def answer(request: Request) -> JSONResponse:
        assert request.url.path == "/api/2.0/mlflow/model-versions/search"
        assert request.headers["Authorization"].startswith("Basic ")
        return JSONResponse(pages[request.query_params.get("page_token")])

    with registry(answer):
        assert pinned_versions() == {"silver.flights": [2, 3], "silver.planes": [1]}


@pytest.mark.parametrize("value", ["latest", "", "-1", "1.0", "9" * 30])
def test_a_pin_that_is_no_version_is_named(registry: Callable[[Answer], Any], value: str) -> None:
    tags = [{"key": "input.silver.flights", "value": value}]
    found = {"model_versions": [{"name": "mine", "version": "4", "tags": tags}]}
    with (
        registry(lambda _: JSONResponse(found)),
        pytest.raises(ConfigurationError, match=r"input\.silver\.flights of version 4 of model mine"),
    ):
        pinned_versions()


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (404, {"error_code": "RESOURCE_DOES_NOT_EXIST"}),
        (400, {"error_code": "INVALID_PARAMETER_VALUE"}),
        (401, {}),
        (500, {}),
    ],
)
def test_an_error_is_never_taken_for_no_pins(
    registry: Callable[[Answer], Any], status: int, content: dict[str, str]
) -> None:
    with registry(lambda _: JSONResponse(content, status)), pytest.raises(TrackingError, match=str(status)):
        pinned_versions()


def test_a_registry_that_is_down_is_never_taken_for_no_pins(monkeypatch: pytest.MonkeyPatch) -> None:
    with closed_port() as port:
        connect(monkeypatch, port)
        with pytest.raises(TrackingError, match="does not answer"):
            pinned_versions()


def test_a_registry_without_models_has_no_pins(registry: Callable[[Answer], Any]) -> None:
    with registry(lambda _: JSONResponse({})):
        assert pinned_versions() == {}


def test_a_champion_and_none(registry: Callable[[Answer], Any]) -> None:
    with registry(lambda _: JSONResponse({"model_version": {"version": "7"}})):
        assert champion_version("m") == 7
    with registry(lambda _: JSONResponse({"error_code": "RESOURCE_DOES_NOT_EXIST"}, 404)):
        assert champion_version("m") is None
    with registry(lambda _: JSONResponse({}, 401)), pytest.raises(TrackingError, match="401"):
        champion_version("m")


def test_a_version_that_is_there_and_one_that_is_not(registry: Callable[[Answer], Any]) -> None:
    def answer(request: Request) -> JSONResponse:
        assert request.url.path == "/api/2.0/mlflow/model-versions/get"
        if dict(request.query_params) == {"name": "m", "version": "7"}:
            return JSONResponse({"model_version": {"version": "7"}})
        return JSONResponse({"error_code": "RESOURCE_DOES_NOT_EXIST"}, 404)

    with registry(answer):
        assert (has_version("m", 7), has_version("m", 8), has_version("n", 7)) == (True, False, False)
    with registry(lambda _: JSONResponse({}, 500)), pytest.raises(TrackingError, match="500"):
        has_version("m", 7)
