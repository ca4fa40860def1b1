"""The MapReduce job runs on YARN, where it outlives the task that has submitted it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from millstream.errors import ConfigurationError
from millstream.lake.storage import Storage
from millstream.lake.tables import TextFolders
from millstream.settings import Settings
from millstream_airflow.engines import Attempt

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from millstream.engines.mapreduce import Counters
    from millstream.engines.mapreduce_yarn import YarnRunner

log = logging.getLogger(__name__)


class MapReduceEngine:
    """YARN, by the addresses in the connection's extra and Hadoop's configuration. A later try follows the
    job that an earlier one has left running."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._runner: YarnRunner | None = None

    def run(self, job: str, folders: TextFolders, attempt: Attempt) -> Counters:
        from millstream.engines.mapreduce import streaming_job

        declared, settings = streaming_job(job), Settings()
        self._runner = runner = self._runner_for(attempt, settings)
        application = runner.earlier()
        if application is not None:
            log.info("%s, which an earlier try has submitted, does this already", application)
        else:
            # What an earlier attempt has left: it may have ended behind the job's end.
            Storage(settings.lake_root).remove(folders.output)
            source, target = (f"{settings.lake_root.rstrip('/')}/{folder}" for folder in folders)
            application = runner.submit(declared, source, target)
        return runner.follow(declared, application)

    def kill(self) -> None:
        if self._runner is not None:
            self._runner.kill()

    def _runner_for(self, attempt: Attempt, settings: Settings) -> YarnRunner:
        from millstream.engines.conf import hadoop_user
        from millstream.engines.mapreduce_yarn import HistoryServer, YarnRunner
        from millstream.engines.submission import task_tag
        from millstream.engines.yarn import ResourceManager

        if not settings.hadoop_conf_dir:
            raise ConfigurationError(
                f"connection {self._connection.conn_id} is of type hadoop_yarn, which needs a lake that all "
                "nodes reach and Hadoop's configuration: set MILLSTREAM_LAKE_ROOT and HADOOP_CONF_DIR; the "
                f"lake is {settings.lake_root}"
            )
        return YarnRunner(
            ResourceManager(self._address("yarn_resourcemanager_webapp_address", 8088), hadoop_user()),
            HistoryServer(self._address("mapreduce_jobhistory_webapp_address", 19888)),
            task_tag(attempt.task),
            jars=settings.root / ".millstream" / "jars",
            conf=Path(settings.hadoop_conf_dir),
        )

    def _address(self, name: str, port: int) -> str:
        address = self._connection.extra_dejson.get(name)
        if not address:
            raise ConfigurationError(
                f"connection {self._connection.conn_id}: its extra has no {name}, for example "
                f"http://host:{port}"
            )
        return str(address)
