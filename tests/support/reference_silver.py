"""The reference data of some days as rows of silver, through each dataset's own contract and transform."""

from __future__ import annotations

import csv
from collections.abc import Collection

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from millstream.bronze.typed import typed
from millstream.transforms import table_of
from millstream_demo import reference
from tests.support.chain import contract_of

DATASETS = ("flights", "weather", "planes", "airports", "airlines")


def silver_rows(spark: SparkSession, dataset: str, month: int, days: Collection[int]) -> DataFrame:
    """Of what has a date, these days of the month; nothing is kept back by a gate."""
    contract = contract_of(dataset)
    lines = [
        {name: row[name] for name in contract.column_names}
        for row in _reference_rows(dataset)
        if row.get("month", str(month)) == str(month) and ("day" not in row or int(row["day"]) in days)
    ]
    raw = spark.createDataFrame(
        [(*row.values(), dataset, str(number)) for number, row in enumerate(lines)],
        ", ".join(f"`{name}` string" for name in (*contract.column_names, "_source_file", "_source_row")),
    ).withColumns({name: F.lit(None).cast("string") for name in ("_record_error", "_record", "_added")})
    table = table_of(dataset, contract)
    return table.rows(typed(raw, contract)).dropDuplicates(list(table.key))


def _reference_rows(dataset: str) -> list[dict[str, str]]:
    if dataset == "flights":
        return list(csv.DictReader(line.decode() for line in reference.flight_lines()))
    return reference.rows(f"{dataset}.csv")
