"""Published tables to text files, one line a row: what a MapReduce job reads."""

from __future__ import annotations

import importlib

from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.observation import Observation

from millstream.errors import ConfigurationError
from millstream.features import MapReduce, feature_table
from millstream.jobs import JobModel
from millstream.lake.names import Inputs, RunKey, TableName
from millstream.lake.reading import read_at
from millstream.lake.tables import TableRef, text_folders


class Args(JobModel):
    """`table` is the gold table that the MapReduce job makes; `inputs` gives for each table that it is made
    from the version to read."""

    lake_root: str
    run: RunKey
    table: TableName
    inputs: Inputs


class Result(JobModel):
    """The number of lines, and the input versions that they were made from."""

    rows: int
    inputs: Inputs


def run(spark: SparkSession, args: Args) -> Result:
    """Replaces what an earlier attempt of the same run has written."""
    table = TableRef.parse(args.table)
    module = importlib.import_module(f"millstream.transforms.{table.name}")
    lines = module.lines(
        {
            TableRef.parse(name).name: read_at(spark, name, args.lake_root, version)
            for name, version in args.inputs.items()
        }
    )
    counted = Observation()
    folder = text_folders(mapreduce_of(table).job, args.run).input
    observed = lines.observe(counted, F.count(F.lit(1)).alias("rows"))
    observed.write.mode("overwrite").text(f"{args.lake_root.rstrip('/')}/{folder}")
    return Result(rows=int(counted.get["rows"]), inputs=args.inputs)


def mapreduce_of(table: TableRef) -> MapReduce:
    """The MapReduce job of a feature table. Raises ConfigurationError when it has none."""
    declared = feature_table(table.name).mapreduce
    if declared is None:
        raise ConfigurationError(f"{table} is not made by MapReduce: its declaration names no job")
    return declared
