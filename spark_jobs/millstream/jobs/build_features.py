"""Published tables to a staged gold table: a pure function of pinned input versions."""

from __future__ import annotations

import importlib

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from millstream.features import feature_table
from millstream.jobs import JobModel, MadeTable
from millstream.lake.delta import require_writer
from millstream.lake.names import Inputs, RunKey, TableName
from millstream.lake.reading import read_at
from millstream.lake.staging import write_staged
from millstream.lake.tables import TableRef
from millstream.streams import position


class Args(JobModel):
    """`table` is the gold table; `inputs` gives for each table it is made from the version to read."""

    lake_root: str
    run: RunKey
    table: TableName
    inputs: Inputs


Result = MadeTable


def run(spark: SparkSession, args: Args) -> Result:
    require_writer(spark, args.lake_root)
    target = TableRef.parse(args.table)
    declared = feature_table(target.name)
    module = importlib.import_module(f"millstream.transforms.{target.name}")
    inputs = {
        TableRef.parse(table).name: read_at(spark, table, args.lake_root, version)
        for table, version in args.inputs.items()
    }
    rows = module.features(inputs)
    if declared.position_column is not None:
        ((name, version),) = args.inputs.items()
        reached = position.offsets_at(TableRef.parse(name), args.lake_root, version).position
        rows = rows.withColumn(declared.position_column, F.lit(reached).cast("bigint"))
    if declared.partition_column is not None:
        rows = rows.withColumn("_partition", F.col(declared.partition_column))
    staged = write_staged(rows, target.staging_uri(args.lake_root, args.run))
    return Result(staged_uri=staged.uri, staged_version=staged.version, rows=staged.rows, inputs=args.inputs)
