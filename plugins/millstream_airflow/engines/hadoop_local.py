"""The MapReduce job runs on this machine, by Hadoop's local runner: one JVM, without servers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from millstream.errors import ConfigurationError
from millstream.lake.storage import Storage
from millstream.lake.tables import TextFolders
from millstream.settings import Settings
from millstream_airflow.engines import Attempt

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from millstream.engines.mapreduce import Counters, LocalRunner


class MapReduceEngine:
    """Hadoop's local runner over a lake that is a folder of this machine. The connection says no more."""

    def __init__(self, connection: Connection) -> None:
        self._conn_id = connection.conn_id
        self._runner: LocalRunner | None = None

    def run(self, job: str, folders: TextFolders, attempt: Attempt) -> Counters:
        from millstream.engines.mapreduce import LocalRunner, streaming_job

        settings = Settings()
        scheme, _, path = settings.lake_root.partition("://")
        if scheme != "file":
            raise ConfigurationError(
                f"connection {self._conn_id} is of type hadoop_local, which reaches files of this machine "
                f"only: the lake is {settings.lake_root}"
            )
        root = Path(path)
        # What an earlier attempt has left: it may have ended behind the job's end.
        Storage(settings.lake_root).remove(folders.output)
        self._runner = LocalRunner(
            jars=settings.root / ".millstream" / "jars", scratch=(root / folders.output).parent
        )
        return self._runner.run(streaming_job(job), root / folders.input, root / folders.output)

    def kill(self) -> None:
        if self._runner is not None:
            self._runner.kill()
