"""A stack for one benchmark run: home, lake and ports of its own, up and with every DAG known."""

from __future__ import annotations

import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from millstream.settings import CHECKOUT, Settings
from millstream_demo.sources import prepare_sources
from millstream_stack.clients.airflow_api import AirflowApi, wait_for_dags
from millstream_stack.commands.demo import PARSE_TIMEOUT_S
from millstream_stack.credentials import load_or_create
from millstream_stack.supervision.lifecycle import down, up

PORTS = ("airflow_port", "mlflow_port", "connect_port", "spark_ui_port", "sources_port")
SCRATCH = CHECKOUT / ".millstream" / "bench"


def publish_sources() -> None:
    """Empties the benchmarks' folder and publishes the sources there, for every run to copy."""
    shutil.rmtree(SCRATCH, ignore_errors=True)
    demo = SCRATCH / "demo"
    demo.mkdir(parents=True)
    for line in prepare_sources(demo):
        say(line)


@contextmanager
def own_stack(
    number: int, root: Path = CHECKOUT
) -> Iterator[tuple[AirflowApi, dict[str, dict[str, Any]], Path]]:
    """Airflow's API, the DAGs of `root` by their ids, and the home, whose logs are kept."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in PORTS]
        for listening in sockets:
            listening.bind(("127.0.0.1", 0))
        ports = {name: port.getsockname()[1] for name, port in zip(PORTS, sockets, strict=True)}
    home = SCRATCH / str(number)
    settings = Settings(root=root, home=home, lake_root=f"file://{home}/lake", **ports)
    shutil.copytree(SCRATCH / "demo", home / "demo")
    try:
        up(settings, say)
        credentials = load_or_create(settings)
        with AirflowApi(settings.airflow_url, credentials.airflow_user, credentials.airflow_password) as api:
            expected = {path.stem for path in (settings.root / "dags").glob("*.py")}
            yield api, wait_for_dags(api, expected, PARSE_TIMEOUT_S), home
    finally:
        down(settings, say)
        shutil.rmtree(home / "lake", ignore_errors=True)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
