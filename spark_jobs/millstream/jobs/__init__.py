"""Jobs: what one task runs on Spark. Each module has `Args`, `Result` and `run(spark, args)`.

A job never knows where it runs. The same code is called over Spark Connect by the operator and by
`spark_jobs/run_job.py` under spark-submit.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from millstream.contracts.contract import is_month
from millstream.errors import ConfigurationError, of_worker
from millstream.lake.tables import NAME, WHOLE, TableRef, is_run_key


class JobModel(BaseModel):
    """Base of every job's `Args` and `Result`: JSON in, JSON out, no unknown field.

    Arguments come from DAG params and XComs, which people can write. What becomes a path in the lake or a
    part of a query is therefore checked here, in whichever job a field of that name stands.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("run", "source_run", "replay", check_fields=False)
    @classmethod
    def _names_a_run(cls, run: str | None) -> str | None:
        if run is not None and not is_run_key(run):
            raise ValueError(f"not a run key: {run!r}; see millstream.landing.manifest.run_key")
        return run

    @field_validator("table", check_fields=False)
    @classmethod
    def _names_a_table(cls, table: str) -> str:
        return str(TableRef.parse(table))

    @field_validator("partitions", check_fields=False)
    @classmethod
    def _are_months(cls, partitions: tuple[str, ...] | None) -> tuple[str, ...] | None:
        wrong = [name for name in partitions or () if name != WHOLE and not is_month(name)]
        if wrong:
            raise ValueError(f"not months: {wrong}; expected YYYY-MM")
        return partitions

    @field_validator("partition", check_fields=False)
    @classmethod
    def _is_a_month(cls, partition: str) -> str:
        if partition not in ("", WHOLE) and not is_month(partition):
            raise ValueError(f"not a month: {partition!r}; expected YYYY-MM")
        return partition

    @field_validator("partition_column", check_fields=False)
    @classmethod
    def _names_a_column(cls, column: str | None) -> str | None:
        if column is not None and not NAME.fullmatch(column):
            raise ValueError(f"not a column's name: {column!r}")
        return column

    @field_validator("candidate", check_fields=False)
    @classmethod
    def _names_a_candidate(cls, candidate: str) -> str:
        if not NAME.fullmatch(candidate):
            raise ValueError(f"not a candidate's name: {candidate!r}")
        return candidate

    @field_validator("inputs", check_fields=False)
    @classmethod
    def _names_tables_and_models(cls, inputs: dict[str, int] | None) -> dict[str, int] | None:
        for name in inputs or ():
            kind, _, model = name.partition(".")
            if kind != "model" or not NAME.fullmatch(model):
                TableRef.parse(name)
        return inputs

    @model_validator(mode="after")
    def _staged_in_this_lake(self) -> Self:
        root, uri = getattr(self, "lake_root", None), getattr(self, "staged_uri", None)
        if root is None or uri is None:
            return self
        table, _, run = uri.removeprefix(f"{root.rstrip('/')}/staging/").partition("/")
        try:
            own = TableRef.parse(table).staging_uri(root, run)
        except ConfigurationError:
            own = None
        if own != uri:
            raise ValueError(f"staged_uri: {uri!r} is no staged table of the lake {root}")
        return self


def load(name: str) -> ModuleType:
    """The module of job `name`. Raises ConfigurationError when there is none."""
    if NAME.fullmatch(name):
        try:
            return importlib.import_module(f"millstream.jobs.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"millstream.jobs.{name}":
                raise
    raise ConfigurationError(f"no such job: {name!r}")


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

    Raises: what the job raises; of an error of ours in a worker that error, without Java's stack.
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
            raise
    return result.model_dump(mode="json")
