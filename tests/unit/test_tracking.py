"""Runs in MLflow are kept where they belong, also when several processes are the first."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from multiprocessing.synchronize import Barrier
from pathlib import Path

import mlflow
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from mlflow import MlflowClient

from millstream.ml import tracking
from tests.support.mlflow_server import MlflowServer, tracking_server

pytestmark = pytest.mark.mlflow

EXPERIMENTS = tuple(f"experiment {number}" for number in range(8))
PROCESSES = 3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with tracking_server(tmp_path_factory.mktemp("mlflow")) as running:
        yield running


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


# What a training does with MLflow, and a warning of MLflow's own.
REGISTERING = """
import logging, sys
logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(name)s %(message)s")
from millstream.ml import tracking
mlflow = tracking.connect("quiet")
# As MLflow's own code does on its way.
import mlflow.utils.logging_utils
mlflow.utils.logging_utils.enable_logging()
with mlflow.start_run() as run:
    for number in range(3):
        mlflow.log_text("x" * 1000, f"files/{number}.txt")
mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="files", dst_path=sys.argv[1])
mlflow.register_model(f"models:/{mlflow.initialize_logged_model().model_id}", "quiet")
logging.getLogger("mlflow.models").warning("look at this")
"""


def test_what_mlflow_says_of_its_successes_is_no_error_of_the_task(
    server: MlflowServer, tmp_path: Path
) -> None:
    """Airflow takes whatever is written to standard error for an error."""
    command = [sys.executable, "-W", "ignore", "-c", REGISTERING, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert done.stderr == ""
    assert "WARNING mlflow.models look at this" in done.stdout
    assert [
        version.version for version in MlflowClient(server.url).search_model_versions("name='quiet'")
    ] == ["1"]


def test_an_input_has_schema_and_profile_in_mlflow(server: MlflowServer, tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": pa.array([1, 2, 3], pa.int64()),
            "share": [Decimal("0.50"), None, Decimal("1.00")],
            "tags": [["a"], [], None],
        },
        schema=pa.schema(
            [
                pa.field("id", pa.int64(), nullable=False),
                ("share", pa.decimal128(3, 2)),
                ("tags", pa.list_(pa.string())),
            ]
        ),
    )
    root = f"file://{tmp_path}"
    write_deltalake(tmp_path / "gold" / "things", table)
    with tracking.connect("inputs").start_run() as active:
        tracking.log_inputs(mlflow, root, {"gold.things": 0})
    (given,) = MlflowClient(server.url).get_run(active.info.run_id).inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("gold.things", "v0")
    columns = json.loads(given.dataset.schema)["mlflow_colspec"]
    assert [(one["name"], one["type"], one["required"]) for one in columns] == [
        ("id", "long", True),
        ("share", "double", False),
        ("tags", "string", False),
    ]
    profile = json.loads(given.dataset.profile)
    assert profile == {"num_rows": 3, "num_files": 1, "num_columns": 3, "partitioned_by": []}
