"""Engines: where a job runs, one module a type of Airflow connection, named as the type is.

Each module has a class `Engine` for Spark's jobs (`millstream.jobs`), or `MapReduceEngine` for those in
`spark_jobs/mapreduce`; adding an engine is adding a module. All of them run the same jobs and raise the
library's own exceptions, because Airflow's retry rules match classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from airflow.sdk import BaseHook

from millstream.declared import module_of
from millstream.errors import ConfigurationError
from millstream.lake.tables import TextFolders

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from millstream.engines.mapreduce import Counters


@dataclass(frozen=True)
class Attempt:
    """One try of one task of one run."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    number: int

    @classmethod
    def of(cls, ti: Any) -> Attempt:
        return cls(ti.dag_id, ti.run_id, ti.task_id, ti.map_index, ti.try_number)

    @property
    def name(self) -> str:
        return self.numbered(self.number)

    @property
    def task(self) -> str:
        """The name that all tries of the task have in common."""
        return f"{self.dag_id}/{self.run_id}/{self.task_id}/{self.map_index}"

    def numbered(self, number: int) -> str:
        """The name of another try of the same task."""
        return f"{self.task}/{number}"

    def earlier(self, most: int) -> list[str]:
        """The names of the tries before this one, the last `most` of them."""
        return [self.numbered(number) for number in range(max(1, self.number - most), self.number)]


class Engine(Protocol):
    """Runs jobs through one connection."""

    def __init__(self, connection: Connection) -> None: ...

    def run(
        self, job: str, arguments: dict[str, Any], attempt: Attempt, environment: Mapping[str, str]
    ) -> dict[str, Any]:
        """The job's result. `environment` reaches the job as its environment: secrets travel nowhere else.

        Raises: what the job raises; ClusterError when it left no word.
        """
        ...

    def url(self, attempt: Attempt) -> str | None:
        """Where a person can look at the job, if anywhere; asked when it has ended."""
        ...

    def kill(self) -> None:
        """End what still runs: the task was cleared, or marked by a person."""
        ...


class MapReduceEngine(Protocol):
    """Runs MapReduce jobs through one connection."""

    def __init__(self, connection: Connection) -> None: ...

    def run(self, job: str, folders: TextFolders, attempt: Attempt) -> Counters:
        """The counters of the job, which reads the input folder and writes the output folder.

        The output appears complete or not at all; what an earlier attempt has written is replaced. Progress
        goes to the log.

        Raises: TransformError when the job's script failed, ClusterError when Hadoop did.
        """
        ...

    def kill(self) -> None:
        """End the job: the task was cleared, or marked by a person."""
        ...


def history_url(connection: Connection) -> str:
    """The address of Spark's history server, as people reach it: `history_url` of the connection's extra."""
    return str(connection.extra_dejson.get("history_url") or "").rstrip("/")


def history_page(connection: Connection, application: str) -> str | None:
    """The page of an application in the history server; None without either."""
    history = history_url(connection)
    return f"{history}/history/{application}/" if history and application else None


def engine_for(conn_id: str) -> Engine:
    """The engine of the connection `conn_id`. Raises ConfigurationError when its type has none."""
    connection, made_by = _declared(conn_id, "Engine", "a Spark job needs spark_connect or spark")
    engine: Engine = made_by(connection)
    return engine


def mapreduce_engine_for(conn_id: str) -> MapReduceEngine:
    """As `engine_for`, for MapReduce jobs."""
    connection, made_by = _declared(
        conn_id, "MapReduceEngine", "a MapReduce job needs hadoop_local or hadoop_yarn"
    )
    engine: MapReduceEngine = made_by(connection)
    return engine


def _declared(conn_id: str, kind: str, needed: str) -> tuple[Connection, Callable[[Connection], Any]]:
    """The connection, and the class `kind` of the module that its type names."""
    connection = BaseHook.get_connection(conn_id)
    conn_type = connection.conn_type or ""
    made_by = getattr(module_of(__name__, conn_type), kind, None)
    if made_by is None:
        raise ConfigurationError(f"connection {conn_id} is of type {conn_type or 'none'}; {needed}")
    return connection, made_by
