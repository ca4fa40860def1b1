"""Big-data text predictions: the champion's answer for every docstring."""

from __future__ import annotations

from pyspark.sql.types import StructType

from millstream.transforms import ANSWER, column

SCHEMA = StructType(
    [
        column("qualified_name", "string", "Dotted name of what the docstring documents", key=True),
        column("library", "string", "Top-level package"),
        column("module", "string", "Dotted name of the module"),
        *ANSWER,
    ]
)
KEY = ("qualified_name",)
CHECKS = {"probability_is_a_share": "probability BETWEEN 0 AND 1"}
