"""All counts that the gate needs of the staged rows, in as few passes as possible.

One aggregation counts for all rules. Each key that must be unique takes one more grouping, and distinct
values one more aggregation together. `predicates` defines what is counted; rules count readable rows only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DecimalType, DoubleType, FloatType, IntegerType, LongType

from millstream.quality.predicates import (
    REASONS,
    breaks,
    considered,
    readable,
    repeats,
    selected,
    split,
)
from millstream.quality.suite import METRICS, Rule, Suite

_DISTINCT = "column.distinct_values.count"
_AGGREGATES: dict[str, Callable[[Column], Column]] = {
    "column.max": F.max,
    "column.mean": F.mean,
    "column.min": F.min,
    _DISTINCT: F.count_distinct,
}
# Great Expectations takes the mean of no other type, and shall say so itself.
_HAS_MEAN = (DecimalType, DoubleType, FloatType, IntegerType, LongType)


@dataclass(frozen=True)
class Counts:
    """Rows of one frame: all, malformed, to be quarantined. By index of a row-level rule: the readable rows
    that its condition selects; of these those over which its share is taken; of these those that break it.

    `metrics` has the figure of a table-level rule, by Great Expectations' name for it. A rule that is in
    none of these could not be counted.
    """

    rows: int
    malformed: int
    quarantined: int
    selected: dict[int, int]
    considered: dict[int, int]
    broken: dict[int, int]
    metrics: dict[int, dict[str, Any]]


def count(frame: DataFrame, suite: Suite) -> Counts:
    """Count for every rule of `suite` that can be counted here."""
    rules = [rule for rule in suite.rules if rule.splittable]
    asked = readable(frame)
    metrics = {rule.index: metric for rule in suite.rules if (metric := _metric(rule, frame, asked))}
    distinct = {f"metric {index}": column for index, (name, column) in metrics.items() if name == _DISTINCT}
    counted = _aggregated(
        frame,
        {
            "rows": F.count(F.lit(1)),
            "malformed": F.count_if(~asked),
            **{f"selected {rule.index}": F.count_if(asked & selected(rule)) for rule in rules},
            **{f"considered {rule.index}": F.count_if(asked & considered(rule)) for rule in rules},
            **{
                f"broken {rule.index}": F.count_if(breaks(rule, asked))
                for rule in rules
                if not rule.checks_uniqueness
            },
            **{f"metric {index}": column for index, (name, column) in metrics.items() if name != _DISTINCT},
        },
    )
    if distinct:
        # Beside a distinct count Spark would keep all the other counts for each of its values.
        counted |= _aggregated(frame, distinct)
    rows = frame.where(asked)
    counted |= {f"broken {rule.index}": repeats(rows, rule) for rule in rules if rule.checks_uniqueness}
    broken = {rule.index: counted[f"broken {rule.index}"] for rule in rules}
    return Counts(
        rows=counted["rows"],
        malformed=counted["malformed"],
        quarantined=_leaving(frame, suite, counted["malformed"], broken),
        selected={rule.index: counted[f"selected {rule.index}"] for rule in rules},
        considered={rule.index: counted[f"considered {rule.index}"] for rule in rules},
        broken=broken,
        metrics={index: {name: counted[f"metric {index}"]} for index, (name, _) in metrics.items()},
    )


def _metric(rule: Rule, frame: DataFrame, asked: Column) -> tuple[str, Column] | None:
    """The figure of a table-level rule over the rows `asked`: Great Expectations' name, and the aggregate."""
    name = METRICS.get(rule.expectation_type)
    if name is None:
        return None
    inside = asked & selected(rule)
    if name == "table.row_count":
        return name, F.count_if(inside)
    column = rule.columns[0]
    if name == "column.mean" and not isinstance(frame.schema[column].dataType, _HAS_MEAN):
        return None
    return name, _AGGREGATES[name](F.when(inside, F.col(column)))


def _aggregated(frame: DataFrame, asked: dict[str, Column]) -> dict[str, Any]:
    """All aggregates in one action."""
    row = frame.agg(*(column.alias(name) for name, column in asked.items())).collect()[0]
    return row.asDict()


def _leaving(frame: DataFrame, suite: Suite, malformed: int, broken: dict[int, int]) -> int:
    """Number of rows with a reason to leave; an action only if a row may have several reasons."""
    reasons = {rule.index: broken[rule.index] for rule in suite.quarantining if broken[rule.index]}
    counted = [rows for rows in (malformed, *reasons.values()) if rows]
    if len(counted) < 2:
        return sum(counted)
    return split(frame, suite, reasons).where(F.size(REASONS) > 0).count()
