"""The gate's findings against unmodified Great Expectations, in the same run, on classic Spark.

Great Expectations 1.24 declares support below Spark 4.2 only; this corpus is the warranty that both find the
same on the Spark that is installed here.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
from pyspark.sql import SparkSession

from millstream.errors import ContractError, UnsupportedExpectationError
from millstream.quality.arguments import bound, number
from millstream.quality.gate import run_gate
from millstream.quality.suite import METRICS, SPLITTABLE, UNSPLITTABLE, Rule, Suite
from tests.support.gate_parity import (
    CASES,
    DIRTY,
    FRAMES,
    SCHEMA,
    VALUES,
    assert_parity,
    both,
    case,
    either,
    of_each_expectation,
    where,
)
from tests.support.thorough import thorough


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


def taken_by_great_expectations(kind: str, **kwargs: Any) -> dict[str, Any]:
    """The arguments that it hands to the metric of an expectation."""
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    expectation: Any = ExpectationConfiguration(type=f"expect_{kind}", kwargs=kwargs).to_domain_obj()
    needed = expectation.get_validation_dependencies().metric_configurations
    found: dict[str, Any] = needed[f"{expectation.map_metric}.unexpected_count"].metric_value_kwargs
    return found


BOUNDS = (0, -3, 0.1, 2**53, math.inf, "2013-06-01", "2013-06-01 10:00:00", "2013-06-01T10:00:00.5Z")


@pytest.mark.parametrize("given", BOUNDS)
def test_a_bound_means_what_great_expectations_takes_it_for(given: Any) -> None:
    theirs = taken_by_great_expectations(f"{VALUES}_be_between", column="a", min_value=given)["min_value"]
    assert (type(bound(given)), bound(given)) == (type(theirs), theirs)


def test_a_total_means_what_great_expectations_takes_it_for() -> None:
    given = {"column_list": ["a", "b"], "sum_total": 8}
    theirs = taken_by_great_expectations("multicolumn_sum_to_equal", **given)["sum_total"]
    assert (type(number(8)), number(8)) == (type(theirs), theirs)


ANY = f"{VALUES}_not_be_null"
MISREAD = {
    "a bound that no double holds": case(f"{VALUES}_be_between", "round it", column="n", max_value=2**53 + 1),
    "a bound larger than doubles": case(f"{VALUES}_be_between", "round it", column="n", max_value=10**400),
    "NaN as a bound": case(f"{VALUES}_be_between", "round it", column="x", max_value=math.nan),
    "a number in quotes": case(f"{VALUES}_be_between", "without quotes", column="a", min_value="5"),
    "a date without dashes": case(f"{VALUES}_be_between", "2013-01-31", column="day", min_value="20130131"),
    "true as a bound": case(f"{VALUES}_be_between", "is no number", column="a", min_value=True),
    "a word as a flag": case(
        f"{VALUES}_be_between", "true or false", column="a", min_value=1, strict_min="no"
    ),
    "half a character": case("column_value_lengths_to_be_between", "whole", column="s", min_value=2.5),
    "half a length": case("column_value_lengths_to_equal", "whole number", column="s", value=2.5),
    "texts and numbers": case(f"{VALUES}_be_in_set", "no column holds", column="a", value_set=[1, 5.0, "9"]),
    "too large a total": case("multicolumn_sum_to_equal", "sum to", column_list=["n", "n"], sum_total=1e30),
    "no list": case(ANY, "needs a list", column="a", row_condition=where("a", "IN", [])),
    "a list": case(ANY, "cannot compare", column="a", row_condition=where("a", "==", [1])),
    "NaN": case(ANY, "cannot compare", column="a", row_condition=where("x", "<", math.nan)),
    "null": case(ANY, "cannot compare", column="a", row_condition=where("x", "==", None)),
    "a bell": case(ANY, "printable", column="a", row_condition=where("s", "==", "\a")),
    "another operator": case(ANY, "not one of", column="a", row_condition=where("a", "=", 1)),
    "no parts": case(ANY, "not one of", column="a", row_condition=both()),
    "SQL among conditions": case(
        ANY,
        "not one of",
        column="a",
        row_condition=either(where("a", "==", 1), {"type": "pass_through", "pass_through_filter": "b > 1"}),
    ),
    "SQL without its parser": case(ANY, "condition_parser", column="a", row_condition="a > 1"),
    "a condition that is ignored": case(
        "column_pair_values_to_be_in_set",
        "ignores its row_condition",
        column_A="a",
        column_B="b",
        value_pairs_set=[[1, 1]],
        row_condition=where("k", ">", 1),
    ),
    "of a table": case(
        "table_row_count_to_equal", "needs a list", value=1, row_condition=where("a", "IN", [])
    ),
}


@pytest.mark.parametrize("name", MISREAD)
def test_what_great_expectations_would_take_for_something_else_is_refused(name: str) -> None:
    expectation, told = MISREAD[name]
    with pytest.raises(UnsupportedExpectationError, match=rf"suite 'things', expectation 0 .*{told}"):
        Suite.from_dict({"name": "things", "expectations": [expectation]})


NESTED = {
    "or in and": both(either(where("a", "<", 1), where("b", "<", 1)), where("k", "<", 1)),
    "or in or": either(either(where("a", "<", 1), where("b", "<", 1)), where("k", "<", 1)),
}


@pytest.mark.parametrize("name", NESTED)
def test_nestings_that_great_expectations_does_not_take_are_refused(name: str) -> None:
    from millstream.quality.validation import configured

    expectation, _ = case(ANY, 0, column="a", row_condition=NESTED[name])
    with pytest.raises(ContractError, match="groups cannot contain"):
        configured(Suite.from_dict({"name": "things", "expectations": [expectation]}))


INCOMPARABLE = {
    "numbers for a text": case(f"{VALUES}_be_between", "takes numbers", column="s", min_value=0),
    "dates for a text": case(f"{VALUES}_be_between", "takes numbers", column="s", min_value="2013-01-01"),
    "numbers for a flag": case(f"{VALUES}_be_between", "takes numbers", column="f", min_value=0),
    "dates for numbers": case(f"{VALUES}_be_between", "takes numbers", column="a", min_value="2013-01-01"),
    "numbers for dates": case(f"{VALUES}_be_between", "takes numbers", column="day", min_value=2013),
    "numbers in a set for a text": case(f"{VALUES}_be_in_set", "set of texts", column="s", value_set=[1]),
    "decimals with integers": case(
        "multicolumn_sum_to_equal", "one type", column_list=["m", "a"], sum_total=5
    ),
}


@pytest.mark.spark
@pytest.mark.parametrize("name", INCOMPARABLE)
def test_columns_that_great_expectations_does_not_compare_so_are_refused(
    spark: SparkSession, name: str
) -> None:
    expectation, told = INCOMPARABLE[name]
    suite = Suite.from_dict({"name": "things", "expectations": [expectation]})
    with pytest.raises(ContractError, match=rf"suite 'things', expectation 0 .*{told}"):
        run_gate(spark.createDataFrame(DIRTY, SCHEMA), suite, table="silver.things", run="r1")


@pytest.mark.spark
@pytest.mark.parametrize("name", ["dirty", "empty", *thorough("clean", "all null")])
def test_both_count_the_same_rows(spark: SparkSession, name: str) -> None:
    assert_parity(spark, name, of_each_expectation())


@pytest.mark.spark
@pytest.mark.thorough
@pytest.mark.parametrize("name", FRAMES)
def test_both_count_the_same_rows_whatever_the_arguments(spark: SparkSession, name: str) -> None:
    assert_parity(spark, name, CASES)
