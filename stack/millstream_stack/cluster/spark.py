"""The Spark Connect server of the cluster, and the history server, which has its pages."""

from __future__ import annotations

import socket
from pathlib import Path

from millstream.engines.conf import pyspark_folder
from millstream.settings import Settings
from millstream_stack.install import native
from millstream_stack.services.spark_server import (
    properties_path,
    spark_connect_command,
    spark_properties,
)

# Its name on the network that workers share with it, and on no other.
HOST, PORT = "connect", 15002
HISTORY_CLASS, HISTORY_PORT = "org.apache.spark.deploy.history.HistoryServer", 18080
HISTORY_HEAP = "512m"


def properties(settings: Settings) -> dict[str, str]:
    """As the embedded server's, but reachable by workers: on their network's address, and on no other."""
    return {
        **spark_properties(settings),
        "spark.driver.host": socket.gethostname(),
        "spark.driver.bindAddress": "0.0.0.0",
        "spark.connect.grpc.binding.address": socket.gethostbyname(HOST),
        "spark.connect.grpc.binding.port": str(PORT),
        # Behind YARN its pages answer to YARN's proxy alone; the history server shows what they would.
        "spark.ui.enabled": "false",
    }


def environment(base: dict[str, str]) -> dict[str, str]:
    """Without the address that would keep the server's pages to the container itself."""
    return {name: value for name, value in base.items() if name != "SPARK_LOCAL_IP"}


def command(settings: Settings) -> tuple[str, ...]:
    """Writes the server's configuration and returns what runs it."""
    path: Path = properties_path(settings)
    path.write_text("".join(f"{name} {value}\n" for name, value in sorted(properties(settings).items())))
    return spark_connect_command(settings)


def history_environment(base: dict[str, str], settings: Settings) -> dict[str, str]:
    """What `spark-class` takes from the environment of a server that is not a driver."""
    java = (
        *("-XX:-UsePerfData", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError"),
        f"-Djava.io.tmpdir={settings.home}/tmp",
        *native.java_options(settings.root / native.FOLDER),
    )
    return {
        **environment(base),
        "SPARK_DAEMON_MEMORY": HISTORY_HEAP,
        "SPARK_DAEMON_JAVA_OPTS": " ".join(java),
    }


def history_command(settings: Settings) -> tuple[str, ...]:
    """Writes the configuration of the history server and returns what runs it. It reads event logs only."""
    path = settings.home / "spark" / "history-server.conf"
    properties = {
        "spark.history.fs.logDirectory": settings.event_log_root,
        "spark.history.ui.port": str(HISTORY_PORT),
        "spark.history.fs.cleaner.enabled": "true",
        "spark.history.fs.cleaner.maxAge": "7d",
    }
    path.write_text("".join(f"{name} {value}\n" for name, value in properties.items()))
    program = str(pyspark_folder() / "bin" / "spark-class")
    return (program, HISTORY_CLASS, "--properties-file", str(path))


def launched(name: str, base: dict[str, str], settings: Settings) -> tuple[tuple[str, ...], dict[str, str]]:
    """Command and environment of `spark-<name>`."""
    if name == "history":
        return history_command(settings), history_environment(base, settings)
    return command(settings), environment(base)
