"""Row predicates that say, for each expectation, which rows Great Expectations would count as unexpected.

Great Expectations 1.24 counts on Spark but does not return the rows, so the split into good and
quarantined rows is made here, from the same suite. Semantics follow its
`expectations/metrics/*_map_metrics` (class `_spark` methods): most rules skip nulls, a condition that
evaluates to null is not counted, and uniqueness counts every member of a group of equals. The counts
are compared with its own on clean, dirty, empty and all-null data, in tests/support/gate_parity.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import reduce
from operator import and_, or_
from typing import Any

from pyspark.sql import Column, DataFrame, GroupedData, Window
from pyspark.sql import functions as F
from pyspark.sql import types as T

from millstream.errors import ContractError, UnsupportedExpectationError
from millstream.quality.arguments import bound, condition_sql, number
from millstream.quality.suite import Rule, Suite

REASONS = "_reasons"
MALFORMED = "_malformed"
_TIMES = (T.DateType, T.TimestampType, T.TimestampNTZType)


def readable(df: DataFrame) -> Column:
    """True exactly for the rows that rules judge; never null. An unreadable row breaks no rule, because its
    values are null for that reason alone: it counts as malformed."""
    if MALFORMED not in df.columns:
        return F.lit(True)
    return ~F.coalesce(F.size(F.col(MALFORMED)) > 0, F.lit(False))


def selected(rule: Rule) -> Column:
    """True exactly on the rows that the rule's condition selects; on all where it has none; never null."""
    condition = condition_sql(rule.kwargs)
    return F.lit(True) if condition is None else F.coalesce(F.expr(condition), F.lit(False))


def considered(rule: Rule) -> Column:
    """True exactly on the rows over which the rule's share is taken; never null."""
    parts = [selected(rule)]
    missing = [F.col(name).isNull() for name in rule.columns]
    match _nulls_skipped(rule):
        case "any":
            parts.append(~reduce(or_, missing))
        case "all":
            parts.append(~reduce(and_, missing))
    return reduce(and_, parts)


def breaks(rule: Rule, among: Column | None = None) -> Column:
    """True exactly where Great Expectations, given the rows `among`, counts the row as unexpected, else
    False; never null. Without `among`, all rows.

    For uniqueness the column holds a window function: use it in a projection, not in a filter.

    Raises:
        UnsupportedExpectationError: the expectation has no row predicate.
    """
    inside = considered(rule) if among is None else among & considered(rule)
    if rule.checks_uniqueness:
        return _repeated(rule, inside)
    expected = _PREDICATES.get(rule.expectation_type)
    if expected is None:
        raise UnsupportedExpectationError(f"{rule.expectation_type} has no row predicate ({rule.label})")
    return inside & F.coalesce(~expected(rule.kwargs), F.lit(False))


def repeats(df: DataFrame, rule: Rule) -> int:
    """Count the rows that break a uniqueness rule, without the window of `breaks`, which moves whole rows.

    Equal keys have equal hashes, so one action shows that nothing repeats. Only if hashes repeat, the keys
    themselves are grouped.
    """
    inside = df.where(considered(rule))
    if not _in_groups(inside.groupBy(F.xxhash64(*rule.columns))):
        return 0
    return _in_groups(inside.groupBy(*rule.columns))


def _in_groups(groups: GroupedData) -> int:
    """Rows in groups of more than one. One action."""
    sizes = groups.agg(F.count(F.lit(1)).alias("_size")).where("_size > 1")
    return sizes.agg(F.sum("_size")).collect()[0][0] or 0


def split(df: DataFrame, suite: Suite, broken: Iterable[int] | None = None) -> DataFrame:
    """`df` with `_reasons` array<string>: why the row may not be published; empty for a good row.

    The reasons are those in `_malformed` (where the frame has it); of a row that could be read, the `reason`s
    of the critical row-level rules that it breaks. `broken` limits these to the rules with these indexes,
    when the verdict on the same staged version says that the others have no broken row. Adds no Spark job of
    its own.

    Raises:
        ContractError: a rule names a column that `df` lacks.
    """
    wanted = None if broken is None else set(broken)
    rules = [rule for rule in suite.quarantining if wanted is None or rule.index in wanted]
    require_columns(df, rules, suite.name)
    among = readable(df)
    labels = F.array_compact(F.array(*(F.when(breaks(rule, among), F.lit(rule.reason)) for rule in rules)))
    reasons = labels if rules else F.array().cast("array<string>")
    if MALFORMED in df.columns:
        reasons = F.concat(F.coalesce(F.col(MALFORMED), F.array().cast("array<string>")), reasons)
    return df.withColumn(REASONS, reasons)


def require_columns(df: DataFrame, rules: Iterable[Rule], suite: str) -> None:
    """Raises ContractError when a rule names a column that `df` lacks."""
    present = set(df.columns)
    for rule in rules:
        absent = [name for name in rule.columns if name not in present]
        if absent:
            raise ContractError(
                f"suite {suite!r}, expectation {rule.index} ({rule.expectation_type}): the staged table has "
                f"no column {', '.join(absent)}; it has {', '.join(df.columns)}"
            )


def require_comparable(df: DataFrame, rules: Iterable[Rule], suite: str) -> None:
    """Raises ContractError when a counted rule's columns have other types than what they are compared with,
    or than each other: Great Expectations fails on these, or rounds their sum in another place."""
    for rule in rules:
        if not rule.splittable:
            continue
        types = [df.schema[name].dataType for name in rule.columns]
        if problem := _incomparable(rule, types):
            kinds = ", ".join(
                f"{name} {kind.simpleString()}" for name, kind in zip(rule.columns, types, strict=True)
            )
            raise ContractError(
                f"suite {suite!r}, expectation {rule.index} ({rule.expectation_type}): {problem} ({kinds})"
            )


def _incomparable(rule: Rule, types: list[T.DataType]) -> str | None:
    match rule.expectation_type:
        case "expect_column_values_to_be_between":
            limits = [
                rule.kwargs[name] for name in ("min_value", "max_value") if rule.kwargs.get(name) is not None
            ]
            numbers = {isinstance(bound(limit), float) for limit in limits}
            kind = T.NumericType if True in numbers else _TIMES
            if len(numbers) > 1 or not isinstance(types[0], kind):
                return (
                    "a column of numbers takes numbers as bounds, one of dates or times takes dates or times"
                )
        case "expect_column_values_to_be_in_set" | "expect_column_values_to_not_be_in_set":
            values = [value for value in rule.kwargs["value_set"] or () if value is not None]
            if isinstance(types[0], T.StringType) and not all(isinstance(value, str) for value in values):
                return "a column of texts takes a value_set of texts: put its values in quotes"
        case "expect_multicolumn_sum_to_equal":
            if {True, False} == {isinstance(kind, T.DecimalType) for kind in types}:
                return "decimals are summed with decimals only: declare the columns with one type"
    return None


def _nulls_skipped(rule: Rule) -> str:
    """Whether a row is skipped when 'any' or 'all' of the rule's columns are null, or 'never'."""
    match rule.expectation_type:
        case "expect_column_values_to_be_null" | "expect_column_values_to_not_be_null":
            return "never"
        case name if name.startswith("expect_column_pair_"):
            given = rule.kwargs.get("ignore_row_if", "both_values_are_missing")
        case _:
            given = rule.kwargs.get("ignore_row_if", "all_values_are_missing")
    return {
        "both_values_are_missing": "all",
        "all_values_are_missing": "all",
        "either_value_is_missing": "any",
        "any_value_is_missing": "any",
    }.get(given, "never")


def _repeated(rule: Rule, inside: Column) -> Column:
    equals = Window.partitionBy(*rule.columns)
    return inside & (F.count(F.when(inside, F.lit(1))).over(equals) > 1)


def _within(value: Column, given: dict[str, Any]) -> Column:
    low, high = given.get("min_value"), given.get("max_value")
    bounds = []
    if low is not None:
        bounds.append(value > _bound(low) if given.get("strict_min") else value >= _bound(low))
    if high is not None:
        bounds.append(value < _bound(high) if given.get("strict_max") else value <= _bound(high))
    return reduce(and_, bounds)


def _bound(value: Any) -> Column:
    match bound(value):
        case float() as number:
            return F.lit(number)
        # Read from its text by the session's time zone; a literal would be by the client's.
        case datetime():
            return F.lit(value).cast("timestamp")
        case _:
            return F.lit(value).cast("date")


def _matches_list(given: dict[str, Any]) -> Column:
    column = F.col(given["column"])
    if given.get("match_on", "any") == "any":
        return column.rlike("|".join(given["regex_list"]))
    return reduce(and_, [column.rlike(regex) for regex in given["regex_list"]])


def _greater(given: dict[str, Any]) -> Column:
    left, right = F.col(given["column_A"]), F.col(given["column_B"])
    return (left >= right) | left.eqNullSafe(right) if given.get("or_equal") else left > right


def _pair_in_set(given: dict[str, Any]) -> Column:
    left, right = F.col(given["column_A"]), F.col(given["column_B"])
    if given["value_pairs_set"] is None:
        return left == right
    pairs = [left.eqNullSafe(F.lit(x)) & right.eqNullSafe(F.lit(y)) for x, y in given["value_pairs_set"]]
    return reduce(or_, pairs)


def _sum_equals(given: dict[str, Any]) -> Column:
    # try_add: Great Expectations sums integers as decimals, which cannot overflow; here an overflow gives
    # null, which cannot equal the total either. 0 as bigint widens smaller integers.
    zero = F.lit(0).cast("bigint")
    terms = [F.coalesce(F.col(name), zero) for name in given["column_list"]]
    return F.coalesce(reduce(F.try_add, terms) == F.lit(number(given["sum_total"])), F.lit(False))


def _all_equal(given: dict[str, Any]) -> Column:
    first, *rest = (F.col(name) for name in given["column_list"])
    return reduce(and_, [first.eqNullSafe(other) for other in rest], F.lit(True))


def _all_different(given: dict[str, Any]) -> Column:
    columns = [F.col(name) for name in given["column_list"]]
    same = [left.eqNullSafe(right) for place, left in enumerate(columns) for right in columns[place + 1 :]]
    return ~reduce(or_, same)


_PREDICATES: dict[str, Callable[[dict[str, Any]], Column]] = {
    "expect_column_pair_values_a_to_be_greater_than_b": _greater,
    "expect_column_pair_values_to_be_equal": lambda given: F.col(given["column_A"]).eqNullSafe(
        F.col(given["column_B"])
    ),
    "expect_column_pair_values_to_be_in_set": _pair_in_set,
    "expect_column_value_lengths_to_be_between": lambda given: _within(
        F.length(F.col(given["column"])), given
    ),
    "expect_column_value_lengths_to_equal": lambda given: (
        F.length(F.col(given["column"])) == F.lit(number(given["value"]))
    ),
    "expect_column_values_to_be_between": lambda given: _within(F.col(given["column"]), given),
    "expect_column_values_to_be_in_set": lambda given: (
        F.lit(True) if given["value_set"] is None else F.col(given["column"]).isin(list(given["value_set"]))
    ),
    "expect_column_values_to_be_null": lambda given: F.col(given["column"]).isNull(),
    "expect_column_values_to_match_regex": lambda given: F.col(given["column"]).rlike(given["regex"]),
    "expect_column_values_to_match_regex_list": _matches_list,
    "expect_column_values_to_not_be_in_set": lambda given: (
        ~F.col(given["column"]).isin(list(given["value_set"]))
    ),
    "expect_column_values_to_not_be_null": lambda given: F.col(given["column"]).isNotNull(),
    "expect_column_values_to_not_match_regex": lambda given: ~F.col(given["column"]).rlike(given["regex"]),
    "expect_column_values_to_not_match_regex_list": lambda given: reduce(
        and_, [~F.col(given["column"]).rlike(regex) for regex in given["regex_list"]]
    ),
    "expect_multicolumn_sum_to_equal": _sum_equals,
    "expect_multicolumn_values_to_be_equal": _all_equal,
    "expect_select_column_values_to_be_unique_within_record": _all_different,
}
