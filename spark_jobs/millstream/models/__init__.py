"""The platform's models, one declaration a module. Imported by DAG files, so it imports no Spark."""

from __future__ import annotations

from millstream.declared import module_of, names_in
from millstream.errors import ConfigurationError
from millstream.ml.spec import ModelSpec
from millstream.settings import declared_path

__path__ = declared_path(__path__, "models")


def model_spec(name: str) -> ModelSpec:
    """The declaration of model `name`. Raises ConfigurationError when there is none."""
    module = module_of(__name__, name)
    if module is None:
        raise ConfigurationError(
            f"no such model: {name!r}; models are declared in spark_jobs/millstream/models"
        )
    spec: ModelSpec = module.SPEC
    return spec


def models() -> list[str]:
    """The names of all models."""
    return names_in(__name__)
