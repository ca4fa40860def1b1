"""Planes: what is registered about each tail number."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from millstream.transforms import KEPT, Reference, column

SCHEMA = StructType(
    [
        column("tailnum", "string", "Tail number", key=True),
        column("year", "int", "Year of manufacture"),
        column("type", "string", "Type of plane"),
        column("manufacturer", "string", "Manufacturer"),
        column("model", "string", "Model"),
        column("engines", "int", "Number of engines"),
        column("seats", "int", "Number of seats"),
        column("speed_mph", "double", "Average cruising speed, miles per hour"),
        column("engine", "string", "Type of engine"),
    ]
)
KEY = ("tailnum",)
REFERENCES: dict[str, Reference] = {}
CHECKS = {"seats_are_positive": "seats IS NULL OR seats > 0"}


def transform(rows: DataFrame) -> DataFrame:
    return rows.select(
        "tailnum",
        "year",
        "type",
        "manufacturer",
        "model",
        "engines",
        "seats",
        F.col("speed").alias("speed_mph"),
        "engine",
        *KEPT,
    )
