"""Expectation cases and data on which the gate's findings are compared with unmodified Great Expectations."""

from __future__ import annotations

import json
import math
import tomllib
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from millstream.quality.allowance import within
from millstream.quality.counting import Counts, count
from millstream.quality.examples import WANTED, examples
from millstream.quality.predicates import MALFORMED, breaks, considered, readable
from millstream.quality.suite import Suite
from millstream.settings import CHECKOUT

# `m` and `n` hold values that a double cannot tell apart.
SCHEMA = (
    "k int, a int, b int, s string, t string, d double, f boolean, day date, at timestamp, "
    "m decimal(30, 20), x double, n bigint"
)
Row = tuple[Any, ...]
Case = tuple[dict[str, Any], Any]
INFINITE = math.inf
TENTH, FIVE = Decimal("0.1"), Decimal(5)
NEARLY = Decimal("0.00000000000000000001")
LARGE = 2**53
JUNE = date(2013, 6, 1), datetime(2013, 6, 1, 10)
DECEMBER = date(2012, 12, 31), datetime(2012, 12, 31, 23)
DIRTY: list[Row] = [
    (1, 1, 1, "N1", "N1", 0.5, True, date(2013, 1, 1), datetime(2013, 1, 1, 10), TENTH, 0.5, 1),
    (2, 5, 3, "N22", "x", 1.5, False, *JUNE, TENTH + NEARLY, INFINITE, LARGE + 1),
    (2, None, 4, None, "y", math.nan, None, None, None, None, math.nan, None),
    (3, 9, None, "bad", "", -2.0, True, date(2014, 1, 1), datetime(2014, 1, 1), FIVE, -INFINITE, LARGE),
    (None,) * 12,
    (4, -1, -1, "N4'", "ü", 99.0, False, *DECEMBER, Decimal("-2.5"), -0.0, -1),
    (None, 5, 3, "n22", "x", 0.0, True, *JUNE, FIVE + NEARLY, 0.0, 5),
]
CLEAN: list[Row] = [
    (1, 5, 3, "N22", "N1", 0.5, True, date(2013, 6, 1), datetime(2013, 6, 1, 10), TENTH, 0.5, 1),
    (2, 1, 0, "N1", "y", 1.5, True, date(2013, 1, 1), datetime(2013, 1, 1, 10), Decimal(1), 1.5, 2),
]
# Among readable rows these would break every rule, repeat every key and move every maximum, mean and number.
UNREADABLE: list[Row] = [
    (None,) * 12,
    (3, 9_000_000, None, "bad", "", -2e9, True, *JUNE, FIVE, INFINITE, LARGE),
    (4, -9_000_000, -1, "worse", "ü", 2e9, False, date(1, 1, 1), datetime(9999, 1, 1), TENTH, math.nan, -1),
]
FRAMES: dict[str, list[Row]] = {
    "clean": CLEAN,
    "dirty": DIRTY,
    "empty": [],
    "all null": [(None,) * 12] * 3,
}


def where(column: str, operator: str, parameter: Any) -> dict[str, Any]:
    return {
        "type": "comparison",
        "column": {"name": column},
        "operator": operator,
        "parameter": parameter,
    }


def null(column: str, is_null: bool = True) -> dict[str, Any]:
    return {"type": "nullity", "column": {"name": column}, "is_null": is_null}


def both(*conditions: dict[str, Any]) -> dict[str, Any]:
    return {"type": "and", "conditions": list(conditions)}


def either(*conditions: dict[str, Any]) -> dict[str, Any]:
    return {"type": "or", "conditions": list(conditions)}


def case(kind: str, dirty: Any, **kwargs: Any) -> Case:
    """An expectation, and what it finds on dirty data: broken rows, or the value that it looks at."""
    return {"type": f"expect_{kind}", "kwargs": kwargs, "severity": "warning"}, dirty


VALUES, PAIR = "column_values_to", "column_pair_values"
CASES: list[Case] = [
    case(f"{VALUES}_not_be_null", 2, column="a"),
    case(f"{VALUES}_not_be_null", 1, column="b", row_condition=where("f", "==", True)),
    case(
        f"{VALUES}_not_be_null",
        2,
        column="k",
        row_condition=either(null("f"), where("t", "==", "x")),
    ),
    case(f"{VALUES}_not_be_null", 1, column="b", row_condition=where("s", "IN", ["bad", "N1"])),
    case(f"{VALUES}_not_be_null", 1, column="k", row_condition=where("s", "NOT_IN", ["N1"])),
    case(f"{VALUES}_be_null", 5, column="a"),
    case(f"{VALUES}_be_null", 1, column="b", row_condition=null("a")),
    case(f"{VALUES}_be_unique", 2, column="k"),
    case(f"{VALUES}_be_unique", 2, column="t"),
    case(f"{VALUES}_be_unique", 2, column="a", row_condition=null("f", is_null=False)),
    case("compound_columns_to_be_unique", 2, column_list=["a", "b"]),
    case("compound_columns_to_be_unique", 2, column_list=["a", "b"], ignore_row_if="any_value_is_missing"),
    case("compound_columns_to_be_unique", 2, column_list=["s", "f"], ignore_row_if="never"),
    case(f"{VALUES}_be_between", 2, column="a", min_value=0, max_value=5),
    case(f"{VALUES}_be_between", 2, column="a", min_value=0, max_value=5, mostly=0.6),
    case(f"{VALUES}_be_between", 2, column="a", min_value=0, max_value=5, mostly=0.61),
    case(f"{VALUES}_be_between", 3, column="a", min_value=1, max_value=5, strict_min=True),
    case(f"{VALUES}_be_between", 4, column="a", min_value=0, max_value=5, strict_max=True, mostly=0.1),
    case(f"{VALUES}_be_between", 1, column="a", max_value=5),
    case(f"{VALUES}_be_between", 1, column="a", min_value=0),
    case(f"{VALUES}_be_between", 3, column="d", min_value=0, max_value=10),
    case(f"{VALUES}_be_between", 2, column="day", min_value="2013-01-01", max_value="2013-12-31"),
    case(
        f"{VALUES}_be_between",
        2,
        column="at",
        min_value="2013-01-01 00:00:00",
        max_value="2013-12-31 23:59:59",
    ),
    case(
        f"{VALUES}_be_between",
        1,
        column="a",
        min_value=0,
        max_value=5,
        row_condition=both(where("f", "==", False), where("k", ">", 1)),
    ),
    case(f"{VALUES}_be_in_set", 3, column="s", value_set=["N1", "N22"]),
    case(f"{VALUES}_be_in_set", 2, column="a", value_set=[1, 5]),
    case(f"{VALUES}_be_in_set", 2, column="f", value_set=[True]),
    case(f"{VALUES}_be_in_set", 1, column="f", value_set=[True], row_condition=where("s", "==", "N4'")),
    case(f"{VALUES}_not_be_in_set", 1, column="s", value_set=["bad"]),
    case(f"{VALUES}_not_be_in_set", 2, column="a", value_set=[5]),
    case(f"{VALUES}_match_regex", 3, column="s", regex="^N[0-9]+$"),
    case(
        f"{VALUES}_match_regex",
        2,
        column="t",
        regex="^y$",
        row_condition="a > 1 AND s LIKE '%2%'",
        condition_parser="spark",
    ),
    case(f"{VALUES}_not_match_regex", 1, column="s", regex="bad"),
    case(f"{VALUES}_match_regex_list", 1, column="s", regex_list=["^N", "^n"], match_on="any"),
    case(f"{VALUES}_match_regex_list", 3, column="s", regex_list=["^N", "[0-9]$"], match_on="all"),
    case(f"{VALUES}_not_match_regex_list", 2, column="s", regex_list=["bad", "'"]),
    case("column_value_lengths_to_equal", 1, column="s", value=3),
    case("column_value_lengths_to_be_between", 1, column="t", min_value=1, max_value=2),
    case("column_value_lengths_to_be_between", 5, column="s", min_value=3, strict_min=True),
    case(f"{PAIR}_to_be_equal", 4, column_A="a", column_B="b"),
    case(f"{PAIR}_to_be_equal", 2, column_A="a", column_B="b", ignore_row_if="either_value_is_missing"),
    case(f"{PAIR}_to_be_equal", 4, column_A="a", column_B="b", ignore_row_if="neither"),
    case(f"{PAIR}_a_to_be_greater_than_b", 2, column_A="a", column_B="b"),
    case(f"{PAIR}_a_to_be_greater_than_b", 2, column_A="b", column_B="a", or_equal=True),
    case(f"{PAIR}_to_be_in_set", 3, column_A="a", column_B="b", value_pairs_set=[[1, 1], [5, 3]]),
    case(
        f"{PAIR}_to_be_in_set",
        1,
        column_A="a",
        column_B="b",
        value_pairs_set=[[1, 1], [5, 3]],
        ignore_row_if="either_value_is_missing",
    ),
    case("multicolumn_sum_to_equal", 4, column_list=["a", "b"], sum_total=8),
    case(
        "multicolumn_sum_to_equal",
        2,
        column_list=["a", "b"],
        sum_total=8,
        ignore_row_if="any_value_is_missing",
    ),
    case("multicolumn_values_to_be_equal", 4, column_list=["a", "b"]),
    case("select_column_values_to_be_unique_within_record", 2, column_list=["a", "b", "k"]),
    case("table_row_count_to_be_between", 7, min_value=1, max_value=6),
    case("table_row_count_to_be_between", 3, min_value=1, row_condition=where("f", "==", True)),
    case("table_row_count_to_equal", 7, value=7),
    case("column_max_to_be_between", 9, column="a", max_value=8),
    case("column_max_to_be_between", 1, column="a", max_value=8, row_condition=where("s", "==", "N1")),
    case("column_max_to_be_between", None, column="d", max_value=1000),
    case("column_max_to_be_between", "2014-01-01", column="day", min_value="2013-12-31"),
    case("column_max_to_be_between", "2014-01-01 00:00:00", column="at", min_value="2014-01-01 00:00:00"),
    case("column_min_to_be_between", -1, column="a", min_value=-1, strict_min=True),
    case("column_mean_to_be_between", 3.8, column="a", min_value=3, max_value=3.8),
    case("column_mean_to_be_between", 3.0, column="a", max_value=3, row_condition=where("k", "<", 3)),
    case("column_unique_value_count_to_be_between", 4, column="a", max_value=4),
    case(
        "column_unique_value_count_to_be_between",
        2,
        column="t",
        min_value=3,
        row_condition=where("f", "==", False),
    ),
    # Each operator of a row condition, and conditions in conditions.
    case(f"{VALUES}_not_be_null", 1, column="a", row_condition=where("k", "!=", 3)),
    case(f"{VALUES}_not_be_null", 1, column="a", row_condition=where("k", "<=", 2)),
    case(f"{VALUES}_not_be_null", 1, column="b", row_condition=where("k", ">=", 3)),
    case(f"{VALUES}_be_between", 2, column="a", min_value=0, max_value=5, row_condition=where("k", ">", 2)),
    case(f"{VALUES}_be_null", 1, column="a", row_condition=where("k", "<", 2)),
    case(f"{VALUES}_not_be_null", 1, column="k", row_condition=where("s", "!=", "bad")),
    case(f"{VALUES}_be_null", 1, column="a", row_condition=where("t", "==", "ü")),
    case(f"{VALUES}_be_null", 2, column="a", row_condition=where("f", "!=", True)),
    case(f"{VALUES}_not_be_null", 1, column="b", row_condition=where("day", ">=", "2013-06-01")),
    case(f"{VALUES}_be_null", 1, column="b", row_condition=where("day", "<", "2013-01-01")),
    case(f"{VALUES}_not_be_null", 1, column="b", row_condition=where("at", ">", "2013-06-01 10:00:00")),
    case(f"{VALUES}_be_null", 1, column="a", row_condition=where("d", "==", 1.5)),
    case(f"{VALUES}_not_be_null", 1, column="b", row_condition=where("x", "<", 0)),
    case(f"{VALUES}_not_be_null", 1, column="a", row_condition=where("x", ">", 0.5)),
    case(f"{VALUES}_be_null", 1, column="a", row_condition=where("m", "==", 0.1)),
    case(f"{VALUES}_be_null", 3, column="a", row_condition=where("m", ">", 0.1)),
    case(f"{VALUES}_be_null", 2, column="a", row_condition=where("m", "IN", [0.1, 5])),
    case(f"{VALUES}_be_null", 3, column="a", row_condition=where("m", "NOT_IN", [0.1, 5])),
    case(f"{VALUES}_be_null", 1, column="a", row_condition=where("n", "==", LARGE + 1)),
    case(
        f"{VALUES}_not_be_null",
        2,
        column="b",
        row_condition={"type": "pass_through", "pass_through_filter": "a > 1 OR s IS NULL"},
    ),
    case(
        f"{VALUES}_be_null",
        2,
        column="a",
        row_condition=both(both(where("k", ">=", 1), where("k", "<=", 3)), where("f", "!=", False)),
    ),
    case(
        f"{VALUES}_not_be_null",
        1,
        column="k",
        row_condition=either(both(where("f", "==", False), where("k", ">", 2)), null("f")),
    ),
    case(
        f"{VALUES}_be_null",
        2,
        column="a",
        row_condition=either(
            both(where("k", "<", 2), both(where("f", "==", True), where("s", "==", "N1"))),
            where("s", "==", "bad"),
        ),
    ),
    case(f"{VALUES}_be_between", 1, column="m", min_value=0, max_value=5),
    case(f"{VALUES}_be_between", 2, column="m", min_value=-3, max_value=5, strict_max=True),
    case(f"{VALUES}_be_between", 3, column="m", min_value=0.1, max_value=10, strict_min=True, mostly=0.1),
    case(f"{VALUES}_be_between", 0, column="n", max_value=LARGE),
    case(f"{VALUES}_be_between", 3, column="x", min_value=0, strict_min=True),
    case(f"{VALUES}_be_between", 3, column="x", max_value=0.5, strict_max=True),
    case(f"{VALUES}_be_between", 1, column="x", min_value=-INFINITE, strict_min=True),
    case(f"{VALUES}_be_between", 2, column="x", max_value=INFINITE, strict_max=True),
    case(f"{VALUES}_be_between", 1, column="x", max_value=INFINITE),
    case(f"{VALUES}_be_between", 4, column="day", min_value="2013-06-01 10:00:00"),
    case(
        f"{VALUES}_be_between",
        3,
        column="day",
        min_value="2013-01-01",
        strict_min=True,
        max_value="2013-12-31",
    ),
    case(f"{VALUES}_be_between", 2, column="at", min_value="2013-06-01", max_value="2014-01-01"),
    case(
        f"{VALUES}_be_between",
        3,
        column="at",
        min_value="2013-06-01",
        max_value="2014-01-01",
        strict_max=True,
    ),
    case(f"{VALUES}_be_between", 2, column="at", min_value="2013-06-01T10:00:00Z"),
    case(f"{VALUES}_be_unique", 2, column="x"),
    case(f"{VALUES}_be_unique", 0, column="m"),
    case(f"{VALUES}_be_in_set", 1, column="m", value_set=[0.1, 5]),
    case(f"{VALUES}_not_be_in_set", 1, column="m", value_set=[5]),
    case(f"{VALUES}_be_in_set", 3, column="x", value_set=[0, 0.5]),
    case(f"{VALUES}_be_in_set", 2, column="a", value_set=[1, 5.0]),
    case(f"{VALUES}_be_in_set", 2, column="a", value_set=["1", "5"]),
    case(f"{VALUES}_be_in_set", 0, column="s", value_set=["N1", None]),
    case(f"{VALUES}_be_in_set", 5, column="s", value_set=[]),
    case(f"{VALUES}_be_in_set", 2, column="day", value_set=["2013-01-01", "2013-06-01"]),
    case(f"{VALUES}_not_be_in_set", 2, column="at", value_set=["2013-06-01 10:00:00"]),
    case("column_value_lengths_to_equal", 1, column="s", value=3, row_condition=where("a", "<=", 5)),
    case(f"{PAIR}_to_be_equal", 3, column_A="x", column_B="d"),
    case(f"{PAIR}_to_be_equal", 2, column_A="a", column_B="b", row_condition=where("k", "<=", 2), mostly=0.1),
    case(f"{PAIR}_a_to_be_greater_than_b", 5, column_A="x", column_B="d"),
    case(f"{PAIR}_a_to_be_greater_than_b", 2, column_A="x", column_B="d", or_equal=True),
    case(f"{PAIR}_to_be_in_set", 4, column_A="day", column_B="s", value_pairs_set=[["2013-01-01", "N1"]]),
    case(f"{PAIR}_to_be_in_set", 4, column_A="m", column_B="a", value_pairs_set=[[0.1, 1]]),
    case("multicolumn_sum_to_equal", 3, column_list=["m", "m"], sum_total=0.2),
    case("multicolumn_sum_to_equal", 5, column_list=["x", "d"], sum_total=1),
    case("multicolumn_sum_to_equal", 3, column_list=["n", "n"], sum_total=2 * LARGE),
    case("multicolumn_values_to_be_equal", 3, column_list=["x", "d"]),
    case("select_column_values_to_be_unique_within_record", 3, column_list=["x", "d"]),
    case("table_row_count_to_equal", 4, value=4, row_condition=where("k", "<=", 3)),
    case("column_max_to_be_between", 5.0, column="m", max_value=5),
    case("column_max_to_be_between", "2014-01-01", column="at", min_value="2013-12-31"),
    case("column_max_to_be_between", "2014-01-01 00:00:00", column="day", max_value="2013-12-31 10:00:00"),
    case("column_max_to_be_between", None, column="x", min_value=0),
    case("column_min_to_be_between", "-Infinity", column="x", max_value=0),
    case("column_min_to_be_between", -2.5, column="m", min_value=-2.5, row_condition=where("m", "<", 0.1)),
    case("column_mean_to_be_between", 1.54, column="m", max_value=1.54),
    case("column_unique_value_count_to_be_between", 5, column="m", max_value=5),
    case("column_unique_value_count_to_be_between", 5, column="x", max_value=5),
]
PINNED = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]


def of_each_expectation() -> list[Case]:
    """One case of each expectation, with and without a condition on rows.

    Whether there are rows, and values in them, is a matter of the expectation and the condition; what
    arguments and types change shows on dirty data.
    """
    first = {(one[0]["type"], "row_condition" in one[0]["kwargs"]): one for one in reversed(CASES)}
    return list(first.values())


def assert_parity(spark: SparkSession, name: str, cases: list[Case]) -> None:
    """Both say the same of the frame `name`; on dirty data also what was worked out by hand.

    Great Expectations gets the readable rows alone.
    """
    assert f"pyspark=={spark.version}" in PINNED
    df, rows = _staged(spark, name), spark.createDataFrame(FRAMES[name], SCHEMA).coalesce(1)
    expectations = [expectation for expectation, _ in cases]
    suite = Suite.from_dict({"name": "parity", "expectations": expectations})
    counts = count(df, suite)
    ours, theirs = _our_results(df.where(readable(df)), suite, counts), _their_results(rows, expectations)
    flagged = _flagged(df, suite)
    assert len(theirs) == len(cases)
    for rule in suite.rules:
        told = f"{name}: {rule.label} {rule.kwargs}"
        found = theirs[rule.index]
        assert not found.exception_info.get("raised_exception"), told
        assert ours[rule.index] == (found.success, _comparable(found.result)), told
        if rule.splittable:
            broken, of = counts.broken[rule.index], counts.considered[rule.index]
            assert (found.result["unexpected_count"] or 0) == broken, told
            assert found.success == within(broken, of, rule.mostly), told
            assert flagged[rule.index] == (broken, of), told
        if name == "dirty":
            looked_at = found.result["unexpected_count" if rule.splittable else "observed_value"]
            assert _plain(looked_at) == cases[rule.index][1], told


def _staged(spark: SparkSession, name: str) -> DataFrame:
    """The frame as the gate gets it: the dirty one also has rows that could not be read."""
    if name != "dirty":
        return spark.createDataFrame(FRAMES[name], SCHEMA).coalesce(1)
    rows = [*((*row, ["k: not of type int"]) for row in UNREADABLE), *((*row, []) for row in FRAMES[name])]
    return spark.createDataFrame(rows, f"{SCHEMA}, {MALFORMED} array<string>").coalesce(1)


def _our_results(df: DataFrame, suite: Suite, counts: Counts) -> dict[int, Any]:
    from millstream.quality.validation import configured, decide

    # Without a frame nothing can be evaluated any more: all is decided from the counts.
    shown = examples(df, suite, counts.broken)
    findings = decide(None, suite, configured(suite), counts, shown)  # type: ignore[arg-type]
    return {index: (found.success, _comparable(found.result.result)) for index, found in findings.items()}


def _flagged(df: DataFrame, suite: Suite) -> dict[int, tuple[int, int]]:
    """Broken and considered rows, flagged row by row as for the split."""
    rules, among = [rule for rule in suite.rules if rule.splittable], readable(df)
    flags = df.select(
        *(breaks(rule, among).cast("int").alias(f"broken_{rule.index}") for rule in rules),
        *((among & considered(rule)).cast("int").alias(f"of_{rule.index}") for rule in rules),
    )
    row = flags.agg(*(F.coalesce(F.sum(name), F.lit(0)).alias(name) for name in flags.columns)).collect()[0]
    return {rule.index: (row[f"broken_{rule.index}"], row[f"of_{rule.index}"]) for rule in rules}


def _their_results(df: DataFrame, expectations: list[dict[str, Any]]) -> dict[int, Any]:
    """Great Expectations by its public interface, in its default manner."""
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    asset = context.data_sources.add_spark("parity", persist=False).add_dataframe_asset("parity")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch(batch_parameters={"dataframe": df})
    numbered = [{**expectation, "meta": {"case": number}} for number, expectation in enumerate(expectations)]
    results = batch.validate(
        gx.ExpectationSuite(name="parity", expectations=numbered),
        result_format={"result_format": "SUMMARY", "partial_unexpected_count": WANTED},
    )
    return {result.expectation_config.meta["case"]: result for result in results.results}


def _comparable(result: dict[str, Any]) -> dict[str, Any]:
    """A result without what is no finding: the order of examples, null as an example, and that Great
    Expectations counts None where there is no row to look at."""
    kept = {key: _plain(value) for key, value in result.items()}
    if "unexpected_count" in kept:
        kept["unexpected_count"] = kept["unexpected_count"] or 0
    if "partial_unexpected_list" in kept:
        kept["partial_unexpected_list"] = sorted(
            (one for one in kept["partial_unexpected_list"] if one is not None), key=repr
        )
    if "partial_unexpected_counts" in kept:
        valued = [one for one in kept["partial_unexpected_counts"] if one["value"] is not None]
        kept["partial_unexpected_counts"] = sorted(valued, key=repr)
    return kept


def _plain(value: Any) -> Any:
    """`value` as JSON has it, so that dates are text and NaN equals NaN."""
    return json.loads(json.dumps(value, default=str), parse_constant=str)
