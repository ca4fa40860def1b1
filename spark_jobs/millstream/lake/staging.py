"""Staged tables: what a run has made of its input, materialised once, before anyone may see it.

The gate judges exactly this version, and publishing writes from exactly this version.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.observation import Observation

from millstream.lake.delta import table_version
from millstream.lake.tables import SOURCE_ROW_ID as SOURCE_ROW_ID
from millstream.lake.tables import WHOLE as WHOLE

# Bookkeeping columns of every staged table; none of them is published.
DEFAULTS = {
    "_partition": f"'{WHOLE}'",
    "_malformed": "CAST(array() AS array<string>)",
    "_duplicate": "false",
    "_deleted": "false",
    "_source_record": "CAST(null AS string)",
}


@dataclass(frozen=True)
class Staged:
    """One staged version and the number of rows that went in."""

    uri: str
    version: int
    rows: int


def write_staged(rows: DataFrame, uri: str) -> Staged:
    """Materialise `rows` at `uri`, replacing what an earlier attempt of the same run left there.

    `rows` must have `_source_row_id`; the bookkeeping columns that it lacks are added.
    """
    missing = {name: F.expr(value) for name, value in DEFAULTS.items() if name not in rows.columns}
    counted = Observation()
    # Over Connect `withColumns` refuses an empty dictionary.
    complete = rows.withColumns(missing) if missing else rows
    staged = complete.observe(counted, F.count(F.lit(1)).alias("rows"))
    replace_schema_too(staged, uri)
    return Staged(uri=uri, version=table_version(uri), rows=int(counted.get["rows"]))


def replace_schema_too(rows: DataFrame, uri: str, metadata: str = "") -> None:
    """Replace table and schema; `metadata` becomes the commit's `userMetadata`."""
    writer = rows.write.format("delta").mode("overwrite").option("overwriteSchema", "true")
    writer.option("userMetadata", metadata).save(uri)


def read_staged(spark: SparkSession, uri: str, version: int) -> DataFrame:
    """Exactly `version` of the staged table."""
    return spark.read.format("delta").option("versionAsOf", version).load(uri)
