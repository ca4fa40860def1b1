"""A Spark Connect server of the tests' own, started as the stack starts it."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from pyspark.sql.connect.client import SparkConnectClient

from millstream.settings import CHECKOUT, Settings
from millstream_stack.services.lake_claim import scratch_path
from millstream_stack.services.spark_server import write_spark_properties
from tests.support import jvm, spark_server
from tests.support.loopback import free_ports


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a running server; its lake is empty."""
    home = tmp_path_factory.mktemp("connect")
    settings = Settings(
        root=CHECKOUT,
        home=home,
        lake_root=f"file://{home}/lake",
        spark_driver_memory="1500m",
        **free_ports("connect_port", "spark_ui_port"),
    )
    for folder in ("spark", "spark-events"):
        (home / folder).mkdir()
    left_over = scratch_path(home) / "blockmgr-of-a-killed-server"
    left_over.mkdir(parents=True)
    (left_over / "shuffle.data").write_bytes(bytes(1000))
    write_spark_properties(settings)
    jvm.shorten(settings)
    with spark_server.running(settings):
        yield settings
        # An open client would call the server for minutes when the tests' process ends.
        clients = [found for found in gc.get_objects() if isinstance(found, SparkConnectClient)]
        assert clients
        assert all(client.is_closed for client in clients)
