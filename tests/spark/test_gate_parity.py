"""The gate's findings against unmodified Great Expectations, in the same run, on classic Spark.

Great Expectations 1.24 declares support below Spark 4.2 only; this corpus is the warranty that both find the
same on the Spark that is installed here.
"""

from __future__ import annotations

import pytest
from gate_parity import CASES, FRAMES, assert_parity
from pyspark.sql import SparkSession

from millstream.quality.counting import METRICS
from millstream.quality.suite import SPLITTABLE, UNSPLITTABLE, Rule


def test_the_corpus_covers_every_expectation_that_is_counted() -> None:
    assert {expectation["type"] for expectation, _ in CASES} == SPLITTABLE | METRICS.keys()


def test_every_row_level_expectation_of_great_expectations_is_classified() -> None:
    import great_expectations.expectations as gxe
    from great_expectations.expectations.expectation import (
        ColumnMapExpectation,
        ColumnPairMapExpectation,
        MulticolumnMapExpectation,
    )

    row_level = (ColumnMapExpectation, ColumnPairMapExpectation, MulticolumnMapExpectation)
    found = {
        kind.expectation_type
        for kind in vars(gxe).values()
        if isinstance(kind, type) and issubclass(kind, row_level) and not kind.is_abstract()
    }
    # On Spark these two look at the column's type, once.
    table_level = {"expect_column_values_to_be_of_type", "expect_column_values_to_be_in_type_list"}
    assert found - table_level <= SPLITTABLE | UNSPLITTABLE
    levels = {kind: Rule(index=0, expectation_type=kind, kwargs={}).level for kind in found}
    assert {kind for kind, level in levels.items() if level == "table"} == table_level


@pytest.mark.spark
@pytest.mark.parametrize("name", FRAMES)
def test_both_count_the_same_rows(spark: SparkSession, name: str) -> None:
    assert_parity(spark, name)
