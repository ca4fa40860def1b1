"""Airports: codes, names, positions and time zones."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from millstream.transforms import KEPT, Reference, column

SCHEMA = StructType(
    [
        column("faa", "string", "FAA airport code", key=True),
        column("name", "string", "Airport's usual name"),
        column("lat", "double", "Latitude, decimal degrees north"),
        column("lon", "double", "Longitude, decimal degrees east"),
        column("alt_ft", "int", "Altitude, feet above sea level"),
        column("tz_offset_h", "int", "Standard time's offset from UTC, hours"),
        column("dst", "string", "Daylight saving rule: A as in the USA, U unknown, N none"),
        column("tzone", "string", "IANA time zone"),
    ]
)
KEY = ("faa",)
REFERENCES: dict[str, Reference] = {}
CHECKS = {"latitude_on_earth": "lat BETWEEN -90 AND 90"}


def transform(rows: DataFrame) -> DataFrame:
    return rows.select(
        "faa",
        "name",
        "lat",
        "lon",
        F.col("alt").alias("alt_ft"),
        F.col("tz").alias("tz_offset_h"),
        "dst",
        "tzone",
        *KEPT,
    )
