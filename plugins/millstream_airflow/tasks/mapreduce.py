"""The operator that runs Hadoop MapReduce jobs: an engine runs them, by the type of the connection."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from millstream.lake.tables import text_folders
from millstream.landing.manifest import run_key
from millstream_airflow.engines import Attempt, MapReduceEngine, mapreduce_engine_for
from millstream_airflow.tasks.spark_job import SPARK_POOL
from millstream_airflow.tasks.summaries import summary

if TYPE_CHECKING:
    from airflow.sdk import Context


class MapReduceOperator(BaseOperator):
    """Run one of the jobs in `spark_jobs/mapreduce` over the text that its run has exported.

    Returns Hadoop's counters, by group and name. Progress is in the log.

    Args:
        job: name of the script, without its ending.
        conn_id: connection whose type names one of `millstream_airflow.engines`.

    Raises:
        TransformError: the script failed; with the last lines that it wrote to standard error.
        ClusterError: Hadoop failed, or the job was killed; with the last lines of both.
    """

    ui_color = "#e2e8d0"

    def __init__(
        self, *, job: str, conn_id: str = "mapreduce_default", pool: str = SPARK_POOL, **kwargs: Any
    ) -> None:
        super().__init__(pool=pool, **kwargs)
        self.job = job
        self.conn_id = conn_id
        self._engine: MapReduceEngine | None = None

    def execute(self, context: Context) -> dict[str, dict[str, int]]:
        dag_run = context["dag_run"]
        assert dag_run is not None
        self._engine = mapreduce_engine_for(self.conn_id)
        began = time.monotonic()
        self.log.info("MapReduce job %s on connection %s", self.job, self.conn_id)
        folders = text_folders(self.job, run_key(dag_run.run_id))
        counters = self._engine.run(self.job, folders, Attempt.of(context["ti"]))
        for line in summary(self.job, counters, time.monotonic() - began):
            self.log.info("%s", line)
        return counters

    def on_kill(self) -> None:
        if self._engine is not None:
            self._engine.kill()
