"""The platform's feature tables, one declaration a module. Imported by DAG files, so it imports no Spark.

`millstream.transforms.<table>` makes the rows, by `features`; where a MapReduce job makes them, the module
has `lines` instead, which makes what that job reads. Only the inputs are declared here.
"""

from __future__ import annotations

from dataclasses import dataclass

from millstream.declared import module_of, names_in
from millstream.errors import ConfigurationError
from millstream.lake.tables import TableRef
from millstream.settings import declared_path

__path__ = declared_path(__path__, "features")


@dataclass(frozen=True)
class MapReduce:
    """The job that makes a table's rows, out of `spark_jobs/mapreduce`.

    counts: the table's column that adds up to the number of lines that the job has read.
    """

    job: str
    counts: str


@dataclass(frozen=True)
class FeatureTable:
    """A gold table made from other tables, each read at one pinned version.

    inputs: the tables, by name, for example silver.flights.
    partition_column: the column that the table is partitioned by, a month (YYYY-MM); None if it is not cut.
    position_column: has the position of the stream that wrote the one input (`millstream.streams`), as of the
        pinned version; None where no stream writes an input. The table is then made every night: no asset
        event says that a stream has committed.
    mapreduce: the job that makes its rows; None where Spark makes them.
    """

    name: str
    inputs: tuple[str, ...]
    partition_column: str | None
    position_column: str | None = None
    mapreduce: MapReduce | None = None

    @property
    def table(self) -> TableRef:
        return TableRef(zone="gold", name=self.name)

    @property
    def triggers(self) -> tuple[str, ...]:
        """The inputs whose changes rebuild the table: those that another input is made from are left out,
        because its own rebuild follows, and the table would be built twice."""
        declared = {str(table.table): table for table in map(feature_table, feature_tables())}
        behind = {name for table in self.inputs if table in declared for name in declared[table].inputs}
        return tuple(name for name in self.inputs if name not in behind)


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
