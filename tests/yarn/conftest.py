"""YARN over HDFS, started once for all tests, and a connection to it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from millstream.engines.yarn import ResourceManager
from tests.support.hadoop import Hdfs, Yarn

CONN_ID = "spark_yarn"


@pytest.fixture(scope="session")
def yarn(hdfs: Hdfs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yarn]:
    """A real YARN, for all tests of this process, in whose environment it is."""
    server = Yarn(tmp_path_factory.mktemp("yarn"), hdfs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        try:
            server.start()
            for name, value in server.environment.items():
                patch.setenv(name, value)
            yield server
        finally:
            server.stop()


@pytest.fixture
def manager(yarn: Yarn) -> ResourceManager:
    return ResourceManager(yarn.web, "root")


@pytest.fixture
def lake(hdfs: Hdfs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    root = f"{hdfs.uri}/lakes/{tmp_path.name}"
    monkeypatch.setenv("MILLSTREAM_LAKE_ROOT", root)
    return root


@pytest.fixture
def connection(yarn: Yarn, monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of a connection that submits to the cluster."""
    extra = {
        "deploy-mode": "cluster",
        "spark-binary": "spark-submit",
        "yarn_resourcemanager_webapp_address": yarn.web,
    }
    value = json.dumps({"conn_type": "spark", "host": "yarn", "extra": extra})
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", value)
    return CONN_ID
