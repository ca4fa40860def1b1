"""Arrival delay predictions: the champion's answer for every flight."""

from __future__ import annotations

from pyspark.sql.types import StructType

from millstream.transforms import ANSWER, column

SCHEMA = StructType(
    [
        column("month", "string", "Month of the scheduled departure, YYYY-MM (partition)", key=True),
        column("flight_date", "date", "Local date of the scheduled departure", key=True),
        column("carrier", "string", "IATA carrier code", key=True),
        column("flight", "int", "Flight number", key=True),
        column("origin", "string", "FAA code of the airport of departure", key=True),
        column("dest", "string", "FAA code of the airport of destination"),
        *ANSWER,
    ]
)
KEY = ("flight_date", "carrier", "flight", "origin")
CHECKS = {"probability_is_a_share": "probability BETWEEN 0 AND 1"}
