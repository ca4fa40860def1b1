"""Jobs: what one task runs on Spark. Each module has `Args`, `Result` and `run(spark, args)`.

A job never knows where it runs. The same code is called over Spark Connect by the operator and by
`spark_jobs/run_job.py` under spark-submit.
"""

from __future__ import annotations

import importlib
import re
from types import ModuleType
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from millstream.errors import ConfigurationError

NAME = re.compile(r"^[a-z][a-z0-9_]*$")


class JobModel(BaseModel):
    """Base of every job's `Args` and `Result`: JSON in, JSON out, no unknown field."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def load(name: str) -> ModuleType:
    """The module of job `name`. Raises ConfigurationError when there is none."""
    if NAME.match(name):
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
    """Run job `name` and return its result as JSON-able values."""
    args = parse(name, arguments)
    result: BaseModel = load(name).run(spark, args)
    return result.model_dump(mode="json")
