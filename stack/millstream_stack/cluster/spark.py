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

# Its name on the network that workers share with it, and on no other.
HOST, PORT = "connect", 15002


def properties(settings: Settings) -> dict[str, str]:
    """As the embedded server's, but reachable by workers: on their network's address, and on no other."""
    return {
        **spark_properties(settings),
        "spark.driver.host": socket.gethostname(),
        "spark.driver.bindAddress": "0.0.0.0",
        "spark.connect.grpc.binding.address": socket.gethostbyname(HOST),
        "spark.connect.grpc.binding.port": str(PORT),
        "spark.ui.port": "4040",
    }


def environment(base: dict[str, str]) -> dict[str, str]:
    """Without the address that would keep the server's pages to the container itself."""
    return {name: value for name, value in base.items() if name != "SPARK_LOCAL_IP"}


def command(settings: Settings) -> tuple[str, ...]:
    """Writes the server's configuration and returns what runs it."""
    path: Path = properties_path(settings)
    path.write_text("".join(f"{name} {value}\n" for name, value in sorted(properties(settings).items())))
    return spark_connect_command(settings)
