"""Real HDFS servers on free ports of 127.0.0.1, from the pinned jars and the shipped configuration."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

import httpx
from filelock import FileLock

from millstream.settings import CHECKOUT, Settings
from millstream_stack.install.jars import fetch
from tests.support.waiting import until

CONF = CHECKOUT / "conf" / "hadoop"
NAMENODE = "org.apache.hadoop.hdfs.server.namenode.NameNode"
DATANODE = "org.apache.hadoop.hdfs.server.datanode.DataNode"
# Small servers that live for minutes.
JAVA = (
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Djava.net.preferIPv4Stack=true",
)
FETCH_TIMEOUT_S = 600.0
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 30.0


def jars() -> Path:
    """The folder of Hadoop's jars, fetched when some are missing; by one of several test processes."""
    home = Settings().root / ".millstream"
    with FileLock(home / "hadoop.lock", timeout=FETCH_TIMEOUT_S):
        return fetch(CHECKOUT / "conf" / "jars-hadoop.txt", home, home / "hadoop")[0].parent


class Hdfs:
    """One NameNode and one DataNode with their data in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._jars = jars()
        self._rpc, self._http = _free_port(), _free_port()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        # The servers' pages come apart from their jars, and a NameNode without this folder does not start.
        for pages in ("hdfs", "datanode"):
            (folder / "pages" / "webapps" / pages).mkdir(parents=True)
        self._run(NAMENODE, "-format", "-nonInteractive")

    @property
    def uri(self) -> str:
        return f"hdfs://127.0.0.1:{self._rpc}"

    @property
    def environment(self) -> dict[str, str]:
        """What Hadoop's configuration asks of the environment, here."""
        return {
            "HADOOP_CONF_DIR": str(CONF),
            "NAMENODE_ADDRESS": f"127.0.0.1:{self._rpc}",
            "NAMENODE_HTTP": f"127.0.0.1:{self._http}",
            "HADOOP_DATA": str(self._folder),
            "HDFS_REPLICATION": "1",
        }

    def start(self) -> None:
        """Returns when the NameNode has left safe mode and has a DataNode."""
        self.start_namenode()
        self.start_datanode()
        until(
            lambda: self.state("NameNodeInfo").get("Safemode") == "", START_TIMEOUT_S, "the end of safe mode"
        )

    def start_namenode(self) -> None:
        self._start("namenode", NAMENODE)
        until(lambda: bool(self.state("FSNamesystemState")), START_TIMEOUT_S, "the NameNode")

    def start_datanode(self) -> None:
        self._start("datanode", DATANODE)
        until(
            lambda: self.state("FSNamesystemState").get("NumLiveDataNodes") == 1,
            START_TIMEOUT_S,
            "a DataNode",
        )

    def kill(self, name: str) -> None:
        """Ends `namenode` or `datanode` at once."""
        process = self._processes.pop(name)
        process.kill()
        process.wait(STOP_TIMEOUT_S)

    def stop(self) -> None:
        for name in reversed(self._processes.copy()):
            process = self._processes.pop(name)
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_TIMEOUT_S)

    def state(self, bean: str) -> dict[str, object]:
        """What the NameNode says of itself; nothing while it does not answer."""
        try:
            answer = httpx.get(
                f"http://127.0.0.1:{self._http}/jmx",
                params={"qry": f"Hadoop:service=NameNode,name={bean}"},
                timeout=5,
            )
            beans: list[dict[str, object]] = answer.json()["beans"]
        except (httpx.HTTPError, ValueError):
            return {}
        return beans[0] if beans else {}

    def _command(self, main: str, *arguments: str) -> list[str]:
        java = Path(os.environ["JAVA_HOME"]) / "bin" / "java"
        classpath = f"{CONF}:{self._folder / 'pages'}:{self._jars}/*"
        scratch = f"-Djava.io.tmpdir={self._folder}"
        return [str(java), *JAVA, scratch, "-cp", classpath, main, *arguments]

    def _run(self, main: str, *arguments: str) -> None:
        log = self._folder / "format.log"
        with log.open("wb") as out:
            done = subprocess.run(
                self._command(main, *arguments),
                env={**os.environ, **self.environment},
                stdout=out,
                stderr=out,
                check=False,
            )
        assert done.returncode == 0, log.read_text()[-3000:]

    def _start(self, name: str, main: str) -> None:
        with (self._folder / f"{name}.log").open("ab") as out:
            self._processes[name] = subprocess.Popen(
                self._command(main),
                env={**os.environ, **self.environment},
                stdout=out,
                stderr=out,
                cwd=self._folder,
            )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
