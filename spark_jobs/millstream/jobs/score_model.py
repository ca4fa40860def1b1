"""Score a table with the champion: predictions staged for the gate, with model and input version."""

from __future__ import annotations

from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from millstream.errors import ConfigurationError
from millstream.jobs import JobModel
from millstream.lake.delta import require_writer
from millstream.lake.names import Inputs, Partitions, RunKey
from millstream.lake.reading import read_at
from millstream.lake.staging import SOURCE_ROW_ID, WHOLE, write_staged
from millstream.lake.tables import TableRef
from millstream.ml import stored, tracking
from millstream.ml.predictions import predictions
from millstream.ml.spec import ModelSpec
from millstream.models import model_spec


class Args(JobModel):
    """`partitions` limits the rows that are scored; empty means all."""

    lake_root: str
    run: RunKey
    model: str
    input_version: int
    model_version: int
    partitions: Partitions = ()


class Result(JobModel):
    """The staged predictions, and the versions that they were made from (the model as `model.<name>`)."""

    staged_uri: str
    staged_version: int
    rows: int
    inputs: Inputs


def run(spark: SparkSession, args: Args) -> Result:
    require_writer(spark, args.lake_root)
    spec = model_spec(args.model)
    mlflow = tracking.connect(spec.name)
    with tracking.failures():
        version = mlflow.MlflowClient().get_model_version(spec.name, str(args.model_version))
        model = stored.load(stored.in_lake(mlflow, version, args.lake_root))
    predictions = _predictions(_rows(spark, spec, args), spec, model, args)
    target = TableRef.parse(spec.predictions_table)
    staged = write_staged(predictions, target.staging_uri(args.lake_root, args.run))
    return Result(
        staged_uri=staged.uri,
        staged_version=staged.version,
        rows=staged.rows,
        inputs={spec.input_table: args.input_version, f"model.{spec.name}": args.model_version},
    )


def _rows(spark: SparkSession, spec: ModelSpec, args: Args) -> DataFrame:
    rows = read_at(spark, spec.input_table, args.lake_root, args.input_version)
    if not args.partitions:
        return rows
    if spec.partition_column is None:
        raise ConfigurationError(f"model {spec.name}: {spec.input_table} has no partitions to choose from")
    return rows.where(F.col(spec.partition_column).isin(*args.partitions))


def _predictions(rows: DataFrame, spec: ModelSpec, model: PipelineModel, args: Args) -> DataFrame:
    partition = F.col(spec.partition_column) if spec.partition_column else F.lit(WHOLE)
    scored = predictions(rows, spec, model, args.model_version, spec.row_id)
    return scored.select(
        *(name for name in scored.columns if name in spec.key or name != spec.row_id),
        F.lit(args.input_version).cast("bigint").alias("input_version"),
        F.col(spec.row_id).alias(SOURCE_ROW_ID),
        partition.alias("_partition"),
    )
