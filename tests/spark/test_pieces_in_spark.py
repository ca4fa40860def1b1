"""Pieces of a landed file are read by tasks of their own, with the rows and numbers of the whole."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import SparkSession

from tests.support.pieces import read_in_pieces


def test_rows_of_a_file_that_tasks_read_in_pieces(spark: SparkSession, tmp_path: Path) -> None:
    found, expected = read_in_pieces(spark, tmp_path)
    assert found == expected
