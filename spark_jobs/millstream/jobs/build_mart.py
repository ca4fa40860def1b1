"""A mart's SELECT over published tables at pinned versions, or some of its months, to a staged gold table."""

from __future__ import annotations

from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from millstream.errors import ContractError
from millstream.jobs import JobModel, MadeTable
from millstream.lake.delta import require_writer
from millstream.lake.names import Inputs, Partitions, RunKey
from millstream.lake.reading import read_at
from millstream.lake.staging import DEFAULTS, SOURCE_ROW_ID, write_staged
from millstream.marts import Mart

# What Delta takes in no name of a column.
NO_NAME = frozenset(" ,;{}()\n\t=")


class Args(JobModel):
    """`mart` is a `Mart`; `inputs` gives for each table that it reads the version to read; `partitions` are
    the months to make, empty for the whole table."""

    lake_root: str
    run: RunKey
    mart: dict[str, Any]
    inputs: Inputs
    partitions: Partitions = ()


Result = MadeTable


def run(spark: SparkSession, args: Args) -> Result:
    require_writer(spark, args.lake_root)
    mart = Mart.model_validate(args.mart)
    views = {}
    for table in mart.inputs:
        views[table] = f"mart_{table.replace('.', '_')}"
        rows = read_at(spark, table, args.lake_root, args.inputs[table])
        rows.drop(SOURCE_ROW_ID).createOrReplaceTempView(views[table])
    rows = described(spark.sql(mart.query(views)), mart).withColumn(SOURCE_ROW_ID, F.lit(None).cast("string"))
    if mart.head.partition is not None:
        rows = _by_month(rows, mart.head.partition, args.partitions)
    staged = write_staged(rows, mart.table.staging_uri(args.lake_root, args.run))
    return Result(staged_uri=staged.uri, staged_version=staged.version, rows=staged.rows, inputs=args.inputs)


def _by_month(rows: DataFrame, column: str, chosen: tuple[str, ...]) -> DataFrame:
    """The rows of the `chosen` months, of all if empty, under the partition that they are published in.

    The filter is outside the SELECT, so the rows are those that the whole table would have. Spark moves it to
    the tables, of which it then reads these months alone.
    """
    if chosen:
        rows = rows.where(F.col(column).isin(*chosen))
    return rows.withColumn("_partition", F.col(column))


def described(rows: DataFrame, mart: Mart) -> DataFrame:
    """The rows with the head's comments on their columns.

    Raises: ContractError when a column cannot be one of a table, or the head names one that is not there.
    """
    names, where = rows.columns, f"marts/{mart.name}.sql"
    reserved = {SOURCE_ROW_ID, *DEFAULTS}
    if wrong := [one for one in names if NO_NAME.intersection(one) or one in reserved]:
        raise ContractError(f"{where}: {wrong[0]!r} cannot name a column: give it another name by AS")
    if doubled := sorted({one for one in names if [*map(str.lower, names)].count(one.lower()) > 1}):
        raise ContractError(f"{where}: two columns are named {doubled[0]!r}: give one another name by AS")
    named = {*mart.head.columns, *mart.head.key, *chart_columns(mart)}
    named |= {mart.head.partition} if mart.head.partition else set()
    if unknown := sorted(named - set(names)):
        raise ContractError(
            f"{where}: its head names {', '.join(unknown)}, and the SELECT has {', '.join(names)}"
        )
    comments = {one: mart.head.columns.get(one) for one in names}
    return rows.select(
        *(
            F.col(f"`{one}`").alias(one, metadata={"comment": comment} if comment else {})
            for one, comment in comments.items()
        )
    )


def chart_columns(mart: Mart) -> list[str]:
    chart = mart.head.chart
    return [one for one in (chart.x, chart.y, chart.by) if one] if chart else []
