"""The table that both sides of `bench.training` train on: features, each row several times.

python -m bench.training_rows FEATURES_TABLE LAKE_FOLDER FACTOR
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pyspark.sql import functions as F

from bench.gate import session

TABLE = "gold/arrival_delay_features"


def main(features: Path, lake: Path, factor: int) -> int:
    """Writes the table, each copy under a flight number and an id of its own; the number of its rows."""
    lake.mkdir()
    spark = session(lake.parent)
    copies = spark.range(factor).select(F.col("id").cast("int").alias("_copy"))
    rows = spark.read.format("delta").load(str(features)).crossJoin(F.broadcast(copies))
    rows = rows.withColumns(
        {
            "flight": F.col("flight") + F.col("_copy") * 10_000,
            "_source_row_id": F.concat_ws(
                "#",
                F.concat_ws("~", F.substring_index("_source_row_id", "#", 1), "_copy"),
                F.substring_index("_source_row_id", "#", -1),
            ),
        }
    ).drop("_copy")
    rows.write.format("delta").partitionBy("month").save(f"{lake}/{TABLE}")
    return spark.read.format("delta").load(f"{lake}/{TABLE}").count()


if __name__ == "__main__":
    features, lake, factor = sys.argv[1:]
    print(json.dumps({"rows": main(Path(features), Path(lake), int(factor))}))
