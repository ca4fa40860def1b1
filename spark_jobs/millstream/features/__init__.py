"""The platform's feature tables, one declaration a module. Imported by DAG files, so it imports no Spark.

`millstream.transforms.<table>` makes the rows; only the inputs are declared here.
"""

from __future__ import annotations

from dataclasses import dataclass

from millstream.declared import module_of, names_in
from millstream.errors import ConfigurationError
from millstream.lake.tables import TableRef


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
    module = module_of(__name__, name)
    if module is None:
        raise ConfigurationError(
            f"no such feature table: {name!r}; they are declared in spark_jobs/millstream/features"
        )
    table: FeatureTable = module.TABLE
    return table


def feature_tables() -> list[str]:
    """The names of all feature tables."""
    return names_in(__name__)
