"""What each table is: its columns, key, references and constraints, and how its rows are made.

A dataset's table is what its contract says: the typed columns, under the names that they have in the table. A
module of this package with the dataset's name changes that:
    SCHEMA      the table's columns in order: names of the contract's, and a `column` where one is made here
    transform   DataFrame of the contract's columns -> the same rows with the columns that are made here
and, where they differ from what the contract says,
    KEY         columns that identify a row
    REFERENCES  of columns that are made here: flag column -> (own column, other table, its column)
A gold table has a module that says all of it: its SCHEMA is a StructType, and CHECKS are the table's
constraints, SQL by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING

from pyspark.sql import types as T

from millstream.contracts.contract import Column, Contract, contract_file
from millstream.contracts.nested import ArrayOf, MapOf, StructOf, nested
from millstream.contracts.periods import SHAPES
from millstream.contracts.types import digits_of, spark_type
from millstream.declared import module_of
from millstream.errors import ConfigurationError, TransformError
from millstream.lake.source_rows import delivered_for
from millstream.settings import Settings, declared_path

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__path__ = declared_path(__path__, "transforms")

# What is known of a row beside its columns: where it came from, what was wrong with it, and whether it says
# that the source has deleted it.
KEPT = ("_source_row_id", "_malformed", "_source_record", "_deleted", "_drift")
REFERENCE = "_ref_"

Reference = tuple[str, str, str]


@dataclass(frozen=True)
class Table:
    """The definition of a table.

    `file` declares it. `schema`: its columns, each with a comment; those of the key are not nullable.
    `references`: flag column -> own column, other table, its column. `checks`: name -> SQL. `renamed`: names
    of the contract's columns -> theirs in the table. `transform` adds what is made of them. Of rows of one
    key the one with the highest `latest_by` is kept, without it the first; with `history` the others are kept
    beside the table. The rows of a `mart` come from no row of a source in particular, and its columns are
    those of its last SELECT.
    """

    name: str
    file: str
    description: str
    schema: T.StructType
    key: tuple[str, ...]
    references: dict[str, Reference] = field(default_factory=dict)
    checks: dict[str, str] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    transform: Callable[[DataFrame], DataFrame] | None = None
    latest_by: str | None = None
    history: bool = False
    mart: bool = False

    def rows(self, typed: DataFrame) -> DataFrame:
        """The table's columns, as far as `transform` makes them, and `KEPT`, of rows with the contract's."""
        rows = typed.withColumnsRenamed(self.renamed) if self.renamed else typed
        made = self.transform(rows) if self.transform else rows
        names = made.columns if self.transform else self.schema.fieldNames()
        return made.select(*(name for name in self.schema.fieldNames() if name in names), *KEPT)


def table_of(name: str, contract: Contract | None = None) -> Table:
    """The definition of table `name`; a dataset's by its `contract`, or if None by the contract's file.

    Raises: ConfigurationError when there is neither contract nor module; TransformError when a module lacks
    something, or its SCHEMA names a column that the contract does not have.
    """
    module = module_of(__name__, name)
    if contract is None:
        path = contract_file(Settings().project, name)
        contract = Contract.load_file(path) if path else None
    if contract is not None:
        return _of_dataset(contract, module)
    if module is None:
        raise ConfigurationError(
            f"table {name} is declared nowhere: write dags/datasets/{name}.yaml, or {_path(name)}"
        )
    _require(module, name, "SCHEMA", "KEY")
    return Table(
        name=name,
        file=_path(name),
        description=_first_line(module),
        schema=module.SCHEMA,
        key=module.KEY,
        references=getattr(module, "REFERENCES", {}),
        checks=getattr(module, "CHECKS", {}),
    )


def _of_dataset(contract: Contract, module: ModuleType | None) -> Table:
    columns = {column.table_name: column for column in contract.columns}
    declared: Sequence[str | T.StructField] = tuple(columns)
    if module is not None:
        _require(module, contract.dataset, "SCHEMA", "transform")
        declared = tuple(module.SCHEMA)
    key: tuple[str, ...] = getattr(module, "KEY", contract.key)
    required = {*key, contract.partition.column if contract.partition else ""}
    delivered = _of_delivery(contract, columns) if module is None else None
    declared = (*declared, delivered) if delivered else declared
    fields = [_field(one, columns, required, contract.dataset) for one in declared]
    present = {one.name for one in fields}
    if contract.compares_keys and key != contract.key:
        raise TransformError(
            f"{_path(contract.dataset)}: KEY: with deletes 'compare_keys' the table has its source's key. "
            "What to do: leave KEY out, or change deletes"
        )
    if lacking := required - {""} - present:
        raise TransformError(
            f"{_path(contract.dataset)}: the table lacks {', '.join(sorted(lacking))} of its key or "
            "partition. What to do: name it in SCHEMA, or declare KEY"
        )
    references = {
        f"{REFERENCE}{own}": (own, *column.referenced)
        for own, column in columns.items()
        if column.referenced and own in present
    }
    return Table(
        name=contract.dataset,
        file=f"dags/{'datasets' if contract.source.read_by_runs else 'streams'}/{contract.dataset}.yaml",
        description=contract.description or _first_line(module),
        schema=T.StructType(fields),
        key=key,
        references={**references, **getattr(module, "REFERENCES", {})},
        checks=contract.checks,
        renamed={column.name: own for own, column in columns.items() if own != column.name},
        transform=_with_delivery(delivered.name) if delivered else getattr(module, "transform", None),
        latest_by=_latest_by(contract, columns, present),
        history=contract.history is not None,
    )


def _of_delivery(contract: Contract, columns: dict[str, Column]) -> T.StructField | None:
    """The column with the period that a row was delivered for, where the source has none to cut by."""
    partition = contract.partition
    if partition is None or partition.column in columns:
        return None
    comment = f"The {partition.grain} that it was delivered for, {SHAPES[partition.grain]} (partition)"
    return column(partition.column, "string", comment, key=True)


def _with_delivery(name: str) -> Callable[[DataFrame], DataFrame]:
    return lambda rows: rows.withColumn(name, delivered_for())


def _latest_by(contract: Contract, columns: dict[str, Column], present: set[str]) -> str | None:
    """The name in the table of the column that says which row is the latest."""
    name = contract.latest_by
    if name is None:
        return None
    own = next(own for own, column in columns.items() if column.name == name)
    if own not in present:
        raise TransformError(
            f"{_path(contract.dataset)}: the table lacks {own}, by which the contract keeps the latest row. "
            "What to do: name it in SCHEMA, or change keep"
        )
    return own


def _field(
    declared: str | T.StructField, columns: dict[str, Column], required: set[str], dataset: str
) -> T.StructField:
    if isinstance(declared, T.StructField):
        return T.StructField(
            declared.name, declared.dataType, declared.name not in required, declared.metadata
        )
    source = columns.get(declared)
    if source is None:
        raise TransformError(
            f"{_path(dataset)}: SCHEMA: {declared!r} is no column of dags/datasets/{dataset}.yaml. What to "
            "do: add it there, or declare a column here"
        )
    return column(declared, source.type, source.comment, key=declared in required)


def _require(module: ModuleType, name: str, *declared: str) -> None:
    if lacking := [one for one in declared if not hasattr(module, one)]:
        raise TransformError(
            f"{_path(name)} lacks {', '.join(lacking)}. What to do: declare it; docs/adding-a-dataset.md has "
            "an example"
        )


def _path(name: str) -> str:
    return f"spark_jobs/millstream/transforms/{name}.py"


def _first_line(module: ModuleType | None) -> str:
    return ((module and module.__doc__) or "").split("\n")[0]


_TYPES: dict[str, T.DataType] = {
    "string": T.StringType(),
    "smallint": T.ShortType(),
    "int": T.IntegerType(),
    "bigint": T.LongType(),
    "float": T.FloatType(),
    "double": T.DoubleType(),
    "boolean": T.BooleanType(),
    "date": T.DateType(),
    "timestamp": T.TimestampType(),
    "timestamp_ntz": T.TimestampNTZType(),
    "binary": T.BinaryType(),
}


def column(name: str, kind: str, comment: str, *, key: bool = False) -> T.StructField:
    """One column of a table's schema; `kind` in Spark SQL's words; a `key` is never null."""
    return T.StructField(name, data_type(kind), not key, {"comment": comment})


def data_type(kind: str) -> T.DataType:
    """Spark's type of a contract's."""
    match nested(kind):
        case ArrayOf(element):
            return T.ArrayType(data_type(element))
        case StructOf(fields):
            return T.StructType([T.StructField(name, data_type(each)) for name, each in fields])
        case MapOf(key, value):
            return T.MapType(data_type(key), data_type(value))
    digits = digits_of(kind)
    return T.DecimalType(*digits) if digits else _TYPES[spark_type(kind)]


# What a table of predictions has behind the key of what was scored, by the model's objective.
_MODEL = (
    column("model_name", "string", "Registered model in MLflow"),
    column("model_version", "int", "Its version"),
    column("input_version", "bigint", "Delta version of the table that was scored"),
)
ANSWER = (
    column("probability", "double", "Probability that the answer is yes, 0 to 1"),
    column("predicted", "boolean", "Whether the probability reaches the threshold"),
    column("threshold", "double", "Threshold chosen on the validation part"),
    *_MODEL,
)
CLASS_ANSWER = (
    column("probability", "double", "Probability of the likeliest class, 0 to 1"),
    column("predicted", "string", "The likeliest class"),
    *_MODEL,
)
NUMBER_ANSWER = (column("predicted", "double", "The predicted number"), *_MODEL)
