"""Reading a lake table as it was at one version, so that a rerun of a job sees what its first run saw."""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession

from millstream.lake.tables import TableRef


def read_at(spark: SparkSession, table: str, lake_root: str, version: int) -> DataFrame:
    """Table `zone.name` at Delta version `version`."""
    uri = TableRef.parse(table).uri(lake_root)
    return spark.read.format("delta").option("versionAsOf", version).load(uri)
