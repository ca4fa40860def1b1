"""One Kafka broker that is its own controller (KRaft), on loopback: the stack's service `kafka`.

    python -m millstream_stack.services.kafka_broker

fetches the broker's jars where they are missing, formats its folder at the first start, and becomes the
broker. Its jars are in a folder of their own: Spark's connector has another version of kafka-clients.
"""

from __future__ import annotations

import base64
import os
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

from millstream.errors import ClusterError
from millstream.settings import Settings
from millstream_stack.install.jars import fetch

LISTED = Path("conf", "jars-kafka.txt")
MAIN, STORAGE_TOOL = "kafka.Kafka", "kafka.tools.StorageTool"
# A broker of a laptop: some hundred events a second in a few topics.
JAVA = ("-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers={host}:{controller_port}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={data}
# A name that is spelled wrong is an error, not a new topic.
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=4194304
"""


def jars(settings: Settings) -> Path:
    """The folder of the broker's jars, fetched when some are missing. Raises: as `fetch`."""
    home = settings.root / ".millstream"
    return fetch(settings.root / LISTED, home, home / "kafka")[0].parent


@dataclass(frozen=True)
class Broker:
    """A broker with its data in `folder`."""

    folder: Path
    jars: Path
    java_home: Path
    port: int
    controller_port: int
    host: str = "127.0.0.1"

    @property
    def properties(self) -> Path:
        return self.folder / "server.properties"

    @property
    def command(self) -> list[str]:
        return self._java(MAIN, str(self.properties))

    def prepare(self) -> None:
        """Write the configuration, and format the folder unless it has been.

        Raises: ClusterError when it cannot be formatted.
        """
        data = self.folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        self.properties.write_text(
            PROPERTIES.format(host=self.host, port=self.port, controller_port=self.controller_port, data=data)
        )
        if (data / "meta.properties").exists():
            return
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        command = self._java(
            *(STORAGE_TOOL, "format", "--standalone", "-t", cluster, "-c", str(self.properties))
        )
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.folder)
        if done.returncode:
            raise ClusterError(f"Kafka's folder {data} cannot be formatted: {done.stdout}{done.stderr}")

    def _java(self, *arguments: str) -> list[str]:
        java = str(self.java_home / "bin" / "java")
        return [java, *JAVA, f"-Djava.io.tmpdir={self.folder}", "-cp", f"{self.jars}/*", *arguments]


def main() -> None:
    settings = Settings()
    broker = Broker(
        settings.home / "broker",
        jars(settings),
        Path(os.environ["JAVA_HOME"]),
        settings.kafka_port,
        settings.kafka_controller_port,
        settings.host,
    )
    broker.prepare()
    os.execv(broker.command[0], broker.command)


if __name__ == "__main__":
    main()
