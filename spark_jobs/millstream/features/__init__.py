"""The platform's feature tables, one declaration a module. Imported by DAG files, so it imports no Spark.

`millstream.transforms.<table>` makes the rows; only the inputs are declared here.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass

from millstream.errors import ConfigurationError
from millstream.lake.tables import NAME, TableRef


@dataclass(frozen=True)
class FeatureTable:
    """A gold table made from other tables, each read at one pinned version.

    inputs: the tables, by name, for example silver.flights.
    partition_column: the column that the table is partitioned by, a month (YYYY-MM).
    """

    name: str
    inputs: tuple[str, ...]
    partition_column: str

    @property
    def table(self) -> TableRef:
        return TableRef(zone="gold", name=self.name)


def feature_table(name: str) -> FeatureTable:
    """The declaration of the gold table `name`. Raises ConfigurationError when there is none."""
    module = f"{__name__}.{name}"
    if NAME.fullmatch(name):
        try:
            declared: FeatureTable = importlib.import_module(module).TABLE
            return declared
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
    raise ConfigurationError(
        f"no such feature table: {name!r}; they are declared in spark_jobs/millstream/features"
    )


def feature_tables() -> list[str]:
    """The names of all feature tables."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))
