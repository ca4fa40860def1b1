"""Jobs: what one task runs on Spark. Each module has `Args`, `Result` and `run(spark, args)`.

A job never knows where it runs. The same code is called over Spark Connect by the operator and by
`spark_jobs/run_job.py` under spark-submit.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from millstream.declared import module_of
from millstream.errors import ConfigurationError, of_machine, of_worker
from millstream.lake.names import Inputs
from millstream.lake.tables import TableRef


class JobModel(BaseModel):
    """Base of every job's `Args` and `Result`: JSON in, JSON out, no unknown field.

    Arguments come from DAG params and XComs, which people can write. What becomes a path in the lake or a
    part of a query therefore has a type of `millstream.lake.names`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


class StagedArgs(JobModel):
    """Arguments of a job that reads a staged table, which has to be one of the lake."""

    lake_root: str
    staged_uri: str
    staged_version: int

    @model_validator(mode="after")
    def _staged_in_this_lake(self) -> Self:
        root, uri = self.lake_root.rstrip("/"), self.staged_uri
        table, _, run = uri.removeprefix(f"{root}/staging/").partition("/")
        try:
            own = TableRef.parse(table).staging_uri(root, run)
        except ConfigurationError:
            own = None
        if own != uri:
            raise ValueError(f"staged_uri: {uri!r} is no staged table of the lake {self.lake_root}")
        return self


class MadeTable(JobModel):
    """Result of a job that makes a gold table: the staged version, its rows, and the input versions that it
    was made from."""

    staged_uri: str
    staged_version: int
    rows: int
    inputs: Inputs


def load(name: str) -> ModuleType:
    """The module of job `name`. Raises ConfigurationError when there is none."""
    module = module_of(__name__, name)
    if module is None:
        raise ConfigurationError(f"no such job: {name!r}")
    return module


def parse(name: str, arguments: dict[str, Any]) -> BaseModel:
    """`arguments` as the job's own `Args`. Raises ConfigurationError naming each wrong field."""
    model: type[BaseModel] = load(name).Args
    try:
        return model.model_validate(arguments)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(str(part) for part in detail['loc'])}: {detail['msg']}" for detail in error.errors()
        )
        raise ConfigurationError(f"job {name}: wrong arguments: {wrong}") from None


def execute(spark: Any, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Run job `name` and return its result as JSON-able values.

    Raises: what the job raises; of an error of ours in a worker that error, without Java's stack;
    ClusterError with the cause where the machine or the storage failed.
    """
    from pyspark.errors import PySparkException

    from millstream import blame

    args = parse(name, arguments)
    with blame.blaming(blame.declaration(name, arguments)):
        try:
            result: BaseModel = load(name).run(spark, args)
        except PySparkException as error:
            if ours := of_worker(str(error)):
                raise ours from None
            if failed := of_machine(error):
                raise failed from error
            raise
    return result.model_dump(mode="json")
