"""The quarantine of a table: the rows that may not be published, with why and what they were."""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, IntegerType, StringType, StructField, StructType

from millstream.lake.delta import TableDefinition
from millstream.lake.reading import read_at
from millstream.lake.tables import TableRef
from millstream.quality.predicates import MALFORMED, REASONS


def definition(table: TableRef, columns: StructType) -> TableDefinition:
    """How the quarantine of `table` is made: all columns of it, nullable, and what is known of each row."""
    kept = [StructField(column.name, column.dataType, True, column.metadata) for column in columns.fields]
    more = [
        StructField(REASONS, ArrayType(StringType()), True, {"comment": "Every rule that the row broke"}),
        StructField(
            MALFORMED, ArrayType(StringType()), True, {"comment": "Those that make the row unreadable"}
        ),
        StructField("_source_record", StringType(), True, {"comment": "The row as received"}),
        StructField("_partition", StringType(), True, {"comment": "Partition that it was delivered for"}),
        StructField("_run", StringType(), True, {"comment": "Run that brought it"}),
        StructField("_contract_version", IntegerType(), True, {"comment": "Version of the dataset contract"}),
        StructField("_suite_version", StringType(), True, {"comment": "Version of the expectation suite"}),
    ]
    return TableDefinition(
        StructType([*kept, *more]), f"Rows that broke a critical expectation of {table}", ("_partition",)
    )


def kept(
    broken: DataFrame, columns: StructType, run: str, contract_version: int | None, suite_version: str
) -> DataFrame:
    """Judged rows that broke a rule as the quarantine keeps them: the columns of `definition`."""
    return broken.select(
        *columns.fieldNames(),
        F.col(REASONS),
        F.col(MALFORMED),
        F.col("_source_record"),
        F.col("_partition"),
        F.lit(run).alias("_run"),
        F.lit(contract_version).cast("int").alias("_contract_version"),
        F.lit(suite_version).alias("_suite_version"),
    )


def rows_at(
    spark: SparkSession, table: TableRef, lake_root: str, version: int, reason: str = "", partition: str = ""
) -> DataFrame:
    """The rows that `table`'s quarantine had at `version`, as `chosen`."""
    return chosen(read_at(spark, str(table.quarantine), lake_root, version), reason, partition)


def chosen(rows: DataFrame, reason: str = "", partition: str = "") -> DataFrame:
    """Those of `rows` with `reason` in one of their reasons, and of `partition`, where they are given."""
    if reason:
        rows = rows.where(F.exists(REASONS, lambda text: text.contains(reason)))
    return rows.where(F.col("_partition") == partition) if partition else rows
