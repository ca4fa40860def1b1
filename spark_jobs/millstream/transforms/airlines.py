"""Airlines: carrier codes and names."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql.types import StructType

from millstream.transforms import KEPT, Reference, column

SCHEMA = StructType(
    [
        column("carrier", "string", "IATA carrier code", key=True),
        column("name", "string", "Airline's full name"),
    ]
)
KEY = ("carrier",)
REFERENCES: dict[str, Reference] = {}
CHECKS = {"carrier_has_two_characters": "length(carrier) = 2"}


def transform(rows: DataFrame) -> DataFrame:
    return rows.select("carrier", "name", *KEPT)
