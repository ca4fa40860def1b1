"""The Spark Connect server of the cluster."""

from __future__ import annotations

import socket
from pathlib import Path

from millstream.settings import Settings
from millstream_stack.services.spark_server import (
    properties_path,
    spark_connect_command,
    spark_properties,
)


def properties(settings: Settings) -> dict[str, str]:
    """As the embedded server's, but reachable by those who share a network with it."""
    return {
        **spark_properties(settings),
        "spark.driver.host": socket.gethostname(),
        "spark.driver.bindAddress": "0.0.0.0",
        "spark.connect.grpc.binding.address": "0.0.0.0",
        "spark.connect.grpc.binding.port": "15002",
        "spark.ui.port": "4040",
    }


def command(settings: Settings) -> tuple[str, ...]:
    """Writes the server's configuration and returns what runs it."""
    path: Path = properties_path(settings)
    path.write_text("".join(f"{name} {value}\n" for name, value in sorted(properties(settings).items())))
    return spark_connect_command(settings)
