"""Docstrings of public Python code."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql.types import StructType

from millstream.transforms import KEPT, Reference, column

SCHEMA = StructType(
    [
        column("qualified_name", "string", "Dotted name of the module, class or function", key=True),
        column("library", "string", "Top-level package"),
        column("module", "string", "Dotted name of the module"),
        column("kind", "string", "module, class, function or method"),
        column("docstring", "string", "The docstring, cleaned of indentation"),
    ]
)
KEY = ("qualified_name",)
REFERENCES: dict[str, Reference] = {}
CHECKS: dict[str, str] = {}


def transform(rows: DataFrame) -> DataFrame:
    return rows.select("qualified_name", "library", "module", "kind", "docstring", *KEPT)
