"""The records of a topic as bronze has them, below one position, to text: what a MapReduce job reads.

A line has the columns of `INPUT` in `spark_jobs/mapreduce/airport_delays.py`.
"""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.observation import Observation

from millstream.jobs import JobModel
from millstream.lake.names import RunKey
from millstream.lake.reading import read_at
from millstream.lake.source_rows import below
from millstream.lake.tables import text_folders
from millstream.streams.pins import BRONZE, Pins

JOB = "airport_delays"


class Args(JobModel):
    lake_root: str
    run: RunKey
    pins: Pins


class Result(JobModel):
    """The number of lines, and the pins that they were exported by."""

    rows: int
    pins: Pins


def run(spark: SparkSession, args: Args) -> Result:
    """Replaces what an earlier attempt of the same run has written."""
    records = read_at(spark, str(BRONZE), args.lake_root, args.pins.bronze)
    offsets = args.pins.offsets
    read = below(offsets.end, F.col("partition"), F.col("offset"))
    chosen = records.where((F.col("topic") == offsets.topic) & read)
    counted = Observation()
    observed = lines(chosen).observe(counted, F.count(F.lit(1)).alias("rows"))
    folder = text_folders(JOB, args.run).input
    observed.write.mode("overwrite").text(f"{args.lake_root.rstrip('/')}/{folder}")
    return Result(rows=int(counted.get["rows"]), pins=args.pins)


def lines(records: DataFrame) -> DataFrame:
    """A line for each of the records, the bytes of key, value and headers in hexadecimal digits."""
    headers = F.transform(
        "headers",
        lambda header: F.concat(
            F.hex(header["key"].cast("binary")), F.lit(":"), F.coalesce(F.hex(header["value"]), F.lit("-"))
        ),
    )
    key, value = (F.coalesce(F.hex(name), F.lit("-")) for name in ("key", "value"))
    texts = (F.col("partition").cast("string"), F.col("offset").cast("string"), key, value)
    # concat_ws leaves out what is null.
    return records.select(
        F.concat_ws("\t", *texts, F.coalesce(F.concat_ws(",", headers), F.lit(""))).alias("value")
    )
