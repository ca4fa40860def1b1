"""Real servers of HDFS and YARN on free ports of 127.0.0.1: the pinned jars, the shipped configuration."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterable
from pathlib import Path

import httpx
from filelock import FileLock

from millstream.settings import CHECKOUT, Settings
from millstream_stack.install.jars import fetch
from tests.support.loopback import free_port
from tests.support.waiting import until

CONF = CHECKOUT / "conf" / "hadoop"
NAMENODE = "org.apache.hadoop.hdfs.server.namenode.NameNode"
DATANODE = "org.apache.hadoop.hdfs.server.datanode.DataNode"
RESOURCEMANAGER = "org.apache.hadoop.yarn.server.resourcemanager.ResourceManager"
HISTORY = "org.apache.hadoop.mapreduce.v2.hs.JobHistoryServer"
NODEMANAGER = "org.apache.hadoop.yarn.server.nodemanager.NodeManager"
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


class Servers:
    """JVMs of Hadoop, with the shipped configuration and their data in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._jars = jars()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def environment(self) -> dict[str, str]:
        """What Hadoop's configuration asks of the environment, here."""
        return {
            "HADOOP_CONF_DIR": str(CONF),
            "HADOOP_DATA": str(self.folder),
            "HADOOP_JARS": str(self._jars),
        }

    def kill(self, name: str) -> None:
        """Ends a server at once."""
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

    def run(self, main: str, *arguments: str, java: Iterable[str] = ()) -> str:
        """A tool of Hadoop's, to its end; what it printed."""
        done = subprocess.run(
            self._command(main, *arguments, java=java),
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:]
        return done.stdout

    def start_server(self, name: str, main: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as out:
            self._processes[name] = subprocess.Popen(
                self._command(main),
                env={**os.environ, **self.environment},
                stdout=out,
                stderr=out,
                cwd=self.folder,
            )

    def _command(self, main: str, *arguments: str, java: Iterable[str] = ()) -> list[str]:
        program = Path(os.environ["JAVA_HOME"]) / "bin" / "java"
        classpath = f"{CONF}:{self.folder / 'pages'}:{self._jars}/*"
        scratch = f"-Djava.io.tmpdir={self.folder}"
        return [str(program), *JAVA, *java, scratch, "-cp", classpath, main, *arguments]


class Hdfs(Servers):
    """One NameNode and one DataNode."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._rpc, self._http, self._datanode = free_port(), free_port(), free_port()
        # The servers' pages come apart from their jars, and a NameNode without this folder does not start.
        for pages in ("hdfs", "datanode"):
            (folder / "pages" / "webapps" / pages).mkdir(parents=True)
        self.run(NAMENODE, "-format", "-nonInteractive")

    @property
    def uri(self) -> str:
        return f"hdfs://127.0.0.1:{self._rpc}"

    @property
    def web(self) -> str:
        """The address of WebHDFS."""
        return f"http://127.0.0.1:{self._http}"

    @property
    def environment(self) -> dict[str, str]:
        return {
            **super().environment,
            "NAMENODE_ADDRESS": f"127.0.0.1:{self._rpc}",
            "NAMENODE_HTTP": f"127.0.0.1:{self._http}",
            "DATANODE_PORT": str(self._datanode),
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
        self.start_server("namenode", NAMENODE)
        until(lambda: bool(self.state("FSNamesystemState")), START_TIMEOUT_S, "the NameNode")

    def start_datanode(self) -> None:
        """Returns when the DataNode answers and the NameNode has one; it may still count an earlier one."""
        self.start_server("datanode", DATANODE)
        until(
            lambda: answers(self._datanode) and self.state("FSNamesystemState").get("NumLiveDataNodes") == 1,
            START_TIMEOUT_S,
            "a DataNode",
        )

    def admin(self, *arguments: str) -> str:
        """`hdfs dfsadmin`."""
        return self.run("org.apache.hadoop.hdfs.tools.DFSAdmin", *arguments)

    def state(self, bean: str) -> dict[str, object]:
        """What the NameNode says of itself; nothing while it does not answer."""
        query = {"qry": f"Hadoop:service=NameNode,name={bean}"}
        beans = asked(f"{self.web}/jmx", query).get("beans")
        return beans[0] if isinstance(beans, list) and beans else {}


class StandbyNameNode(Hdfs):
    """A NameNode of a pair, of which none is active."""

    PAIR = """
      <property><name>dfs.nameservices</name><value>pair</value></property>
      <property><name>dfs.ha.namenodes.pair</name><value>a,b</value></property>
      <property><name>dfs.namenode.rpc-address.pair.a</name><value>{rpc}</value></property>
      <property><name>dfs.namenode.http-address.pair.a</name><value>{http}</value></property>
      <property><name>dfs.namenode.rpc-address.pair.b</name><value>127.0.0.1:1</value></property>
      <property><name>dfs.namenode.http-address.pair.b</name><value>127.0.0.1:2</value></property>
      <property><name>dfs.ha.namenode.id</name><value>a</value></property>
      <property><name>dfs.namenode.shared.edits.dir</name><value>file://{folder}/edits</value></property>
    </configuration>"""

    def __init__(self, folder: Path) -> None:
        self._own_conf = folder / "conf"
        shutil.copytree(CONF, self._own_conf)
        super().__init__(folder)

    def _command(self, main: str, *arguments: str, java: Iterable[str] = ()) -> list[str]:
        addresses = {"rpc": f"127.0.0.1:{self._rpc}", "http": f"127.0.0.1:{self._http}"}
        site = self._own_conf / "hdfs-site.xml"
        pair = self.PAIR.format(folder=self.folder, **addresses)
        site.write_text((CONF / "hdfs-site.xml").read_text().replace("</configuration>", pair))
        command = super()._command(main, *arguments, java=java)
        return [word.replace(f"{CONF}:", f"{self._own_conf}:") for word in command]


class Yarn(Servers):
    """One ResourceManager and one NodeManager over an HDFS."""

    def __init__(self, folder: Path, hdfs: Hdfs, memory_mb: int = 6144) -> None:
        super().__init__(folder)
        self._hdfs = hdfs
        self._memory_mb = memory_mb
        self._ports = {
            name: str(free_port())
            for name in ("PORT", "SCHEDULER_PORT", "TRACKER_PORT", "ADMIN_PORT", "WEB_PORT")
        }
        self._node_port, self._history, self._history_web = free_port(), free_port(), free_port()

    @property
    def web(self) -> str:
        """The address of the ResourceManager's REST API."""
        return f"http://127.0.0.1:{self._ports['WEB_PORT']}"

    @property
    def environment(self) -> dict[str, str]:
        return {
            **self._hdfs.environment,
            **super().environment,
            **{f"RESOURCEMANAGER_{name}": port for name, port in self._ports.items()},
            "RESOURCEMANAGER_HOST": "127.0.0.1",
            "NODEMANAGER_HOST": "127.0.0.1",
            "NODEMANAGER_WEB_PORT": str(self._node_port),
            "NODEMANAGER_MEMORY_MB": str(self._memory_mb),
            "NODEMANAGER_SERVICES": self.services,
            "JOBHISTORY_HOST": "127.0.0.1",
            "JOBHISTORY_PORT": str(self._history),
            "JOBHISTORY_ADMIN_PORT": str(free_port()),
            "JOBHISTORY_WEB_PORT": str(self._history_web),
        }

    @property
    def history(self) -> str:
        """The address of MapReduce's history server, which `start_history` starts."""
        return f"http://127.0.0.1:{self._history_web}"

    @property
    def services(self) -> str:
        """MapReduce's shuffle, where it can reach nobody: it listens on all addresses of the machine."""
        return "mapreduce_shuffle" if only_loopback() else ""

    def start(self) -> None:
        """Returns when the ResourceManager has a NodeManager."""
        self.start_resourcemanager()
        self.start_server("nodemanager", NODEMANAGER)
        until(lambda: self.metrics().get("activeNodes") == 1, START_TIMEOUT_S, "a NodeManager")

    def start_history(self) -> None:
        self.start_server("historyserver", HISTORY)
        until(lambda: bool(asked(f"{self.history}/ws/v1/history/info", {})), START_TIMEOUT_S, "the history")

    def start_resourcemanager(self) -> None:
        self.start_server("resourcemanager", RESOURCEMANAGER)
        until(lambda: bool(self.metrics()), START_TIMEOUT_S, "the ResourceManager")

    def metrics(self) -> dict[str, object]:
        """The cluster's figures; none while the ResourceManager does not answer."""
        figures = asked(f"{self.web}/ws/v1/cluster/metrics", {}).get("clusterMetrics")
        return figures if isinstance(figures, dict) else {}


def asked(url: str, query: dict[str, str]) -> dict[str, object]:
    """A server's answer in JSON; nothing while it does not answer."""
    try:
        answer: dict[str, object] = httpx.get(url, params=query, timeout=5).json()
    except (httpx.HTTPError, ValueError):
        return {}
    return answer


def only_loopback() -> bool:
    """Whether this process is in a network of its own (`tests/support/loopback_only.sh`)."""
    return [name for _, name in socket.if_nameindex()] == ["lo"]


def answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    # What needs a network comes first.
    print(jars())
