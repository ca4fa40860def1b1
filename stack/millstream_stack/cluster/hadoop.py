"""The servers of HDFS, YARN and MapReduce, from the pinned jars and conf/hadoop."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

from millstream.settings import Settings

CLASSES = {
    "namenode": "org.apache.hadoop.hdfs.server.namenode.NameNode",
    "datanode": "org.apache.hadoop.hdfs.server.datanode.DataNode",
    "resourcemanager": "org.apache.hadoop.yarn.server.resourcemanager.ResourceManager",
    "nodemanager": "org.apache.hadoop.yarn.server.nodemanager.NodeManager",
    "jobhistory": "org.apache.hadoop.mapreduce.v2.hs.JobHistoryServer",
}
# Their REST APIs, as workers reach them.
RESOURCEMANAGER = "http://resourcemanager:8088"
JOBHISTORY = "http://jobhistory:19888"
DATA = Path("/var/lib/hadoop")
# The same after a restart, so that it is known for the node that it was.
DATANODE_PORT, NODEMANAGER_PORT = "9866", "8041"
# Small servers: two compiler tiers and a parallel collector would cost each of them 100 MB.
JAVA = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-XX:+ExitOnOutOfMemoryError")


def environment(settings: Settings) -> dict[str, str]:
    """What conf/hadoop asks of the environment in a container."""
    # Its own address on the network that it shares with its clients.
    address = socket.gethostbyname(socket.gethostname())
    return {
        "HADOOP_CONF_DIR": str(settings.root / "conf" / "hadoop"),
        "HADOOP_DATA": str(DATA),
        "DATANODE_HOST": address,
        "DATANODE_PORT": DATANODE_PORT,
        "NODEMANAGER_HOST": address,
        "NODEMANAGER_PORT": NODEMANAGER_PORT,
    }


def command(service: str, settings: Settings) -> tuple[str, ...]:
    """What runs a server."""
    # The servers' pages come apart from their jars, and a NameNode without this folder does not start.
    pages = settings.home / "pages"
    for name in ("hdfs", "datanode"):
        (pages / "webapps" / name).mkdir(parents=True, exist_ok=True)
    path = f"{settings.root}/conf/hadoop:{pages}:{settings.root}/.millstream/hadoop/*"
    heap = "-Xmx384m" if service == "namenode" else "-Xmx256m"
    return ("java", heap, *JAVA, f"-Djava.io.tmpdir={settings.home}/tmp", "-cp", path, CLASSES[service])


def format_empty(namenode: tuple[str, ...], environment: dict[str, str]) -> None:
    """Formats the NameNode's volume when it has no data; the NameNode itself refuses one that has some."""
    if not (DATA / "name" / "current" / "VERSION").exists():
        subprocess.run([*namenode, "-format", "-nonInteractive"], env=environment, check=True)
