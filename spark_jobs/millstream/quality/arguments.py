"""A rule's arguments as Great Expectations interprets them, without importing it.

It reads bounds by types of its own and writes row conditions as SQL (`expectations/row_conditions.py`,
`execution_engine/sparkdf_execution_engine.py`, release 1.24). Arguments that it would interpret
differently, or that Spark could not read, are refused; tests/support/gate_parity.py proves that the rest is
the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from datetime import date, datetime
from typing import Any

from millstream.errors import ContractError

_OPERATORS = {
    **{operator: operator for operator in ("==", "!=", "<", "<=", ">", ">=", "IN")},
    "NOT_IN": "NOT IN",
}
_PAIRS_IN_SET = "expect_column_pair_values_to_be_in_set"
_SUM = "expect_multicolumn_sum_to_equal"
_LENGTHS = "expect_column_value_lengths_"
_BETWEEN = "expect_column_values_to_be_between"
_FLAGS = ("strict_min", "strict_max", "or_equal")


def check(expectation_type: str, given: Mapping[str, Any]) -> None:
    """Raises ContractError when Great Expectations would interpret an argument differently."""
    condition_sql(given)
    if given.get("row_condition") and expectation_type == _PAIRS_IN_SET:
        raise ContractError("Great Expectations ignores its row_condition: use another expectation")
    for name in _FLAGS:
        if not isinstance(given.get(name), bool | None):
            raise ContractError(f"{name} is true or false, not {given[name]!r}")
    bounds = {name: given[name] for name in ("min_value", "max_value") if given.get(name) is not None}
    if expectation_type == _BETWEEN:
        for value in bounds.values():
            bound(value)
    elif expectation_type.startswith(_LENGTHS):
        for name, value in {**bounds, "value": given.get("value", 0)}.items():
            if not number(value).is_integer():
                raise ContractError(f"{name} is a length, so a whole number, not {value!r}")
    elif expectation_type == _SUM and not abs(number(given.get("sum_total"))) < 2**63:
        raise ContractError(
            f"sum_total {given['sum_total']!r} is larger than what Spark's integers can sum to"
        )
    _check_values(given.get("value_set"))


def _check_values(values: Any) -> None:
    kinds = {isinstance(value, str) for value in values or () if value is not None}
    if len(kinds) > 1:
        raise ContractError(f"value_set has texts and numbers, which no column holds together: {values!r}")


def number(value: Any) -> float:
    """A number as Great Expectations takes it, which is as a double.

    Raises:
        ContractError: not a number, or a double cannot hold it.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ContractError(f"{value!r} is no number: write one, without quotes")
    try:
        taken = float(value)
    except OverflowError:
        taken = math.nan
    # Also where both are not a number.
    if taken != value:
        raise ContractError(f"{value!r} cannot be compared as a double, as Great Expectations does: round it")
    return taken


def bound(value: Any) -> float | date | datetime:
    """A bound of a range as Great Expectations takes it: a number, or a date or time from text.

    Raises:
        ContractError: neither of these.
    """
    if not isinstance(value, str):
        return number(value)
    for kind in (date, datetime):
        # Without dashes Great Expectations takes text for a number.
        if "-" in value:
            with suppress(ValueError):
                return kind.fromisoformat(value)
    raise ContractError(
        f"the bound {value!r} is neither a number without quotes nor a date or time such as "
        "'2013-01-31 10:00:00'"
    )


def condition_sql(given: Mapping[str, Any]) -> str | None:
    """The row condition among the arguments `given` as SQL text; None without one.

    Raises:
        ContractError: Great Expectations has no such condition, or Spark would not read what it writes.
    """
    condition = given.get("row_condition")
    if not condition:
        return None
    match condition:
        case {"type": "pass_through", "pass_through_filter": str(text)}:
            return text
        case dict():
            return _sql(condition)
    if not isinstance(condition, str) or given.get("condition_parser") != "spark":
        raise ContractError(
            f"row_condition {condition!r} needs condition_parser 'spark', or write it as a condition object"
        )
    return condition


def _sql(condition: Any) -> str:
    match condition:
        case {"type": "and" | "or" as kind, "conditions": [_, *_] as parts}:
            return "(" + f" {kind.upper()} ".join(_sql(part) for part in parts) + ")"
        case {"type": "nullity", "column": {"name": str(name)}, "is_null": bool(is_null)}:
            return f"{_quoted(name)} IS {'' if is_null else 'NOT '}NULL"
        case {"type": "comparison", "column": {"name": str(name)}, "operator": str(operator), **rest} if (
            operator in _OPERATORS and "parameter" in rest
        ):
            return f"{_quoted(name)} {_OPERATORS[operator]} {_parameter(operator, rest['parameter'])}"
    raise ContractError(f"row_condition {condition!r} is not one of Great Expectations' conditions")


def _quoted(name: str) -> str:
    return ".".join(f"`{part}`" for part in name.split("."))


def _parameter(operator: str, value: Any) -> str:
    if not operator.endswith("IN"):
        return _literal(value)
    if not isinstance(value, list) or not value:
        raise ContractError(f"a row_condition with {operator} needs a list of values, not {value!r}")
    return f"({', '.join(map(_literal, value))})"


def _literal(value: Any) -> str:
    """Python's own notation, which is what Great Expectations puts into the SQL."""
    match value:
        case str() if value.isprintable():
            return repr(value)
        case bool() | int():
            return repr(value)
        case float() if math.isfinite(value):
            return repr(value)
    raise ContractError(
        f"a row_condition cannot compare with {value!r}: use a finite number, true, false, or text of "
        "printable characters"
    )
