"""What a MapReduce job has written to a staged gold table."""

from __future__ import annotations

from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.observation import Observation

from millstream.errors import ConservationError
from millstream.features import feature_table
from millstream.jobs import JobModel, MadeTable
from millstream.jobs.export_text import mapreduce_of
from millstream.lake.delta import require_writer
from millstream.lake.names import Inputs, RunKey, TableName
from millstream.lake.staging import SOURCE_ROW_ID, write_staged
from millstream.lake.tables import TableRef, text_folders
from millstream.transforms import table_of


class Args(JobModel):
    """`table` is the gold table, `inputs` the versions that the text was exported from, `lines` its lines."""

    lake_root: str
    run: RunKey
    table: TableName
    inputs: Inputs
    lines: int


Result = MadeTable


def run(spark: SparkSession, args: Args) -> Result:
    """Raises ConservationError when the job's rows do not count every exported line once."""
    require_writer(spark, args.lake_root)
    table = TableRef.parse(args.table)
    defined, job = table_of(table.name), mapreduce_of(table)
    folder = text_folders(job.job, args.run).output
    schema = ", ".join(f"{field.name} {field.dataType.simpleString()}" for field in defined.schema)
    made = Observation()
    rows = (
        # A value of another type is an error, not a null.
        spark.read.options(sep="\t", mode="FAILFAST")
        .schema(schema)
        .csv(f"{args.lake_root.rstrip('/')}/{folder}")
        .observe(made, F.coalesce(F.sum(job.counts), F.lit(0)).alias("lines"))
        .withColumn(SOURCE_ROW_ID, F.concat_ws("/", *defined.key))
    )
    if (cut_by := feature_table(table.name).partition_column) is not None:
        rows = rows.withColumn("_partition", F.col(cut_by))
    staged = write_staged(rows, table.staging_uri(args.lake_root, args.run))
    counted = int(made.get["lines"])
    if counted != args.lines:
        raise ConservationError(
            f"{table}: {args.lines} lines were exported, and {counted} are in the column {job.counts} of "
            f"what spark_jobs/mapreduce/{job.job}.py made of them. Nothing was published. What to do: clear "
            "the run from export; if it happens again, correct the script"
        )
    return Result(staged_uri=staged.uri, staged_version=staged.version, rows=staged.rows, inputs=args.inputs)
