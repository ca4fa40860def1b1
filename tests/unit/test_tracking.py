"""Runs in MLflow are kept where they belong, also when several processes are the first."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow_server import MlflowServer

EXPERIMENTS = tuple(f"experiment {number}" for number in range(8))
PROCESSES = 3


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MlflowServer]:
    running = MlflowServer(tmp_path)
    running.start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", running.url)
    yield running
    running.stop()


def log_a_run_in_each(together: Barrier) -> None:
    from millstream.ml import tracking

    for name in EXPERIMENTS:
        together.wait(60)
        with tracking.connect(name).start_run():
            pass


def test_candidates_that_are_the_first_of_a_model_share_its_experiment(server: MlflowServer) -> None:
    spawn = multiprocessing.get_context("spawn")
    together = spawn.Barrier(PROCESSES)
    candidates = [spawn.Process(target=log_a_run_in_each, args=(together,)) for _ in range(PROCESSES)]
    for candidate in candidates:
        candidate.start()
    for candidate in candidates:
        candidate.join(120)
    assert [candidate.exitcode for candidate in candidates] == [0] * PROCESSES

    client = MlflowClient(server.url)
    runs = {
        found.name: len(client.search_runs([found.experiment_id])) for found in client.search_experiments()
    }
    assert runs == {"Default": 0, **dict.fromkeys(EXPERIMENTS, PROCESSES)}
