"""The platform's side of `bench.training`: its jobs, as the DAGs call them, with an MLflow server.

python -m bench.training_platform LAKE_FOLDER OUTPUT_FOLDER
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from bench.gate import session
from bench.ingest_platform import Platform
from bench.sides import Steps
from millstream.models import model_spec

MODEL = "arrival_delay"
UP_TIMEOUT_S = 120.0


@contextmanager
def mlflow_server(folder: Path) -> Iterator[None]:
    """A server that is up; this process keeps its runs there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"),
        *("--artifacts-destination", f"file://{folder}/artifacts"),
    ]
    with (folder / "mlflow.log").open("wb") as log:
        # As the stack has it; else eight more processes start.
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        deadline = time.monotonic() + UP_TIMEOUT_S
        while not _answers(url):
            if server.poll() is not None or time.monotonic() > deadline:
                raise SystemExit((folder / "mlflow.log").read_text())
            time.sleep(0.2)
        os.environ["MLFLOW_TRACKING_URI"] = url
        yield
    finally:
        server.terminate()
        server.wait(30)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def main(lake: Path, out: Path) -> dict[str, Any]:
    platform, steps = Platform(session(out), lake, out), Steps()
    # What training and scoring write must not be there for another run.
    shutil.copytree(lake, out / "lake")
    common = {"model": MODEL, "input_version": 0}
    with mlflow_server(out):
        coded = {**common, "code_version": "bench"}
        fitted = [
            steps.timed(
                f"fit {candidate.name}",
                lambda name=candidate.name: platform.job("fit_candidate", candidate=name, **coded),
            )
            for candidate in model_spec(MODEL).candidates
        ]
        registered = steps.timed(
            "register", lambda: platform.job("register_model", candidates=fitted, **coded)
        )
        version = registered["version"]
        scored = steps.timed("score", lambda: platform.job("score_model", model_version=version, **common))
        spec = model_spec(MODEL)
        platform.publish(
            spec.predictions_table,
            scored,
            steps.timed,
            [],
            load="full",
            partition_column=spec.partition_column,
        )
    return {
        "steps": steps.seconds,
        "predictions": scored["rows"],
        "auc_roc": registered["test"]["auc_roc"],
    }


if __name__ == "__main__":
    print(json.dumps(main(*(Path(argument).resolve() for argument in sys.argv[1:]))))
