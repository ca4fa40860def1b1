"""A real MLflow server on a free port of the loopback interface, with its data in a folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.loopback import free_port

UP_TIMEOUT_S = 120.0


class MlflowServer:
    """`start` and `stop` return when it is up or gone; a second start takes the same port and data."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._port = free_port()

    @property
    def artifacts(self) -> Path:
        return self._folder / "artifacts"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        command = [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port)),
            *("--workers", "1", "--backend-store-uri", f"sqlite:///{self._folder}/mlflow.db"),
            *("--artifacts-destination", f"file://{self.artifacts}"),
        ]
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={
                    **os.environ,
                    "MLFLOW_DISABLE_TELEMETRY": "true",
                    # As the stack has it; else eight more processes of Python start.
                    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                },
                start_new_session=True,
            )
        deadline = time.monotonic() + UP_TIMEOUT_S
        while not self._answers():
            assert self._process.poll() is None, (self._folder / "server.log").read_text()
            assert time.monotonic() < deadline, f"MLflow was not up after {UP_TIMEOUT_S:.0f} s"
            time.sleep(0.2)

    def stop(self) -> None:
        if self._process is not None:
            # The server has workers: the whole group goes at once, as when a machine dies.
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(30)
            self._process = None

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=2).is_success
        except httpx.HTTPError:
            return False


@contextmanager
def tracking_server(folder: Path) -> Iterator[MlflowServer]:
    """A server that is up at the beginning; MLflow in this process and its children keeps its runs there."""
    server = MlflowServer(folder)
    server.start()
    try:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("MLFLOW_TRACKING_URI", server.url)
            yield server
    finally:
        server.stop()
