"""What a rule asks for, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def listed(values: Any) -> str:
    """A set of values."""
    return f"[{', '.join(str(value) for value in values)}]"


def bounds(given: Mapping[str, Any]) -> str:
    """The limits that an expectation's arguments name; empty where they name none."""
    low, high = given.get("min_value"), given.get("max_value")
    if low is None and high is None:
        return str(given["value"]) if "value" in given else ""
    strict_low, strict_high = given.get("strict_min"), given.get("strict_max")
    if None not in (low, high) and not strict_low and not strict_high:
        return f"between {low} and {high}"
    parts = [
        *([] if low is None else [f"{'more than' if strict_low else 'at least'} {low}"]),
        *([] if high is None else [f"{'less than' if strict_high else 'at most'} {high}"]),
    ]
    return " and ".join(parts)


def describe_condition(condition: Any) -> str:
    """A row condition in words; it is SQL text or one of Great Expectations' condition objects as a dict."""
    if isinstance(condition, str):
        return condition
    match condition.get("type"):
        case "comparison":
            return f"{condition['column']['name']} {condition['operator']} {condition['parameter']}"
        case "nullity":
            return f"{condition['column']['name']} is {'' if condition['is_null'] else 'not '}null"
        case "and" | "or":
            return f" {condition['type']} ".join(describe_condition(part) for part in condition["conditions"])
        case _:
            return str(condition.get("pass_through_filter", condition))
