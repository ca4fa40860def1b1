"""The platform's models, one declaration a module. Imported by DAG files, so it imports no Spark."""

from __future__ import annotations

import importlib
import pkgutil
import re

from millstream.errors import ConfigurationError
from millstream.ml.spec import ModelSpec

NAME = re.compile(r"^[a-z][a-z0-9_]*$")


def model_spec(name: str) -> ModelSpec:
    """The declaration of model `name`. Raises ConfigurationError when there is none."""
    module = f"millstream.models.{name}"
    if NAME.match(name):
        try:
            spec: ModelSpec = importlib.import_module(module).SPEC
            return spec
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
    raise ConfigurationError(f"no such model: {name!r}; models are declared in spark_jobs/millstream/models")


def models() -> list[str]:
    """The names of all models."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))
