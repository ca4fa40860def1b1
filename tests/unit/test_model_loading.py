"""A model that is stored as a pickle runs code when it is loaded: ours load none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PythonModel

from millstream.errors import TrackingError
from millstream.ml import tracking
from millstream.settings import Settings
from millstream_stack.environment import base_environment

VARIABLE = "MLFLOW_ALLOW_PICKLE_DESERIALIZATION"


class Constant(PythonModel):
    def predict(self, context: Any, model_input: list[str], params: Any = None) -> list[str]:
        return ["1"]


@pytest.fixture
def pickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(VARIABLE, "true")
    folder = tmp_path / "model"
    mlflow.pyfunc.save_model(folder, python_model=Constant(), pip_requirements=[])
    assert list(folder.rglob("*.pkl"))
    return str(folder)


def test_a_pickled_model_is_loaded_where_it_is_allowed(pickled: str) -> None:
    assert mlflow.pyfunc.load_model(pickled).predict(["x"]) == ["1"]


def test_a_job_refuses_it(pickled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(TrackingError):  # no server is named; what is safe is set before one is asked
        tracking.connect("arrival_delay")

    with pytest.raises(MlflowException, match="pickle"):
        mlflow.pyfunc.load_model(pickled)


def test_every_process_of_the_stack_refuses_it(pickled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, base_environment(Settings())[VARIABLE])

    with pytest.raises(MlflowException, match="pickle"):
        mlflow.pyfunc.load_model(pickled)
