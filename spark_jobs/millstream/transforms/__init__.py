"""One module a silver or gold table: its output schema, and the pure function that makes its rows.

A silver module has
    SCHEMA      StructType of the table; every column has a comment, keys are not nullable
    KEY         columns that identify a row
    REFERENCES  reference checks: flag column -> (own column, other table, its column)
    CHECKS      Delta constraints: name -> SQL
    transform   DataFrame of typed source columns -> DataFrame of SCHEMA's columns and `KEPT`
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from pyspark.sql import types as T

from millstream.declared import module_of
from millstream.errors import ConfigurationError, TransformError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# Columns that a transform hands on as they are.
KEPT = ("_source_row_id", "_malformed", "_source_record", "_drift")

DECLARED = ("SCHEMA", "KEY", "REFERENCES", "CHECKS")

Reference = tuple[str, str, str]


class Transform(Protocol):
    """The interface of a module of this package."""

    SCHEMA: T.StructType
    KEY: tuple[str, ...]
    REFERENCES: dict[str, Reference]
    CHECKS: dict[str, str]

    def transform(self, rows: DataFrame) -> DataFrame: ...


def transform_of(dataset: str) -> Transform:
    """The transform module of `dataset`.

    Raises: ConfigurationError when there is none; TransformError when a required name is missing.
    """
    path = f"spark_jobs/millstream/transforms/{dataset}.py"
    module = module_of(__name__, dataset)
    if module is None:
        raise ConfigurationError(f"dataset {dataset} has no transform: write {path}")
    if lacking := [name for name in DECLARED if not hasattr(module, name)]:
        raise TransformError(
            f"{path} lacks {', '.join(lacking)}. What to do: declare it, empty if there is nothing to say; "
            "docs/adding-a-dataset.md has an example"
        )
    return cast(Transform, module)


_TYPES: dict[str, T.DataType] = {
    "string": T.StringType(),
    "int": T.IntegerType(),
    "bigint": T.LongType(),
    "double": T.DoubleType(),
    "boolean": T.BooleanType(),
    "date": T.DateType(),
    "timestamp": T.TimestampType(),
    "timestamp_ntz": T.TimestampNTZType(),
}


def column(name: str, kind: str, comment: str, *, key: bool = False) -> T.StructField:
    """One column of a table's schema; `kind` in Spark SQL's words; a `key` is never null."""
    return T.StructField(name, _TYPES[kind], not key, {"comment": comment})
