"""Examples of values that broke a rule, drawn from all of the data."""

from __future__ import annotations

from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from millstream.quality.predicates import breaks, considered
from millstream.quality.suite import Rule, Suite

WANTED = 20
# So many times more rows are drawn than are wanted, so that chance leaves no rule without examples.
_MARGIN = 3
_DRAW, _SIZE = "_draw", "_size"


def examples(frame: DataFrame, suite: Suite, broken: dict[int, int]) -> dict[int, list[Any]]:
    """Up to `WANTED` broken values of each broken rule, as Great Expectations shows them, by rule index.

    `broken` has the number of rows that break each rule. One action for all rules, and one more for each
    rule of uniqueness; none if nothing is broken. Nulls are no examples.
    """
    rules = [rule for rule in suite.rules if broken.get(rule.index) and not rule.checks_null]
    plain = [rule for rule in rules if not rule.checks_uniqueness]
    by_rule = {rule.index: _repeated(frame, rule) for rule in rules if rule.checks_uniqueness}
    if plain:
        drawn = [_drawn(rule, broken[rule.index]) for rule in plain]
        # Few rows reach the lists, which Spark collects row by row.
        rows = frame.withColumn(_DRAW, F.rand(0)).where(F.array_contains(F.array(*drawn), True))
        lists = [
            F.slice(F.collect_list(F.when(wanted, F.struct(*rule.columns))), 1, WANTED)
            for rule, wanted in zip(plain, drawn, strict=True)
        ]
        row = rows.agg(*lists).collect()[0]
        by_rule.update({rule.index: _shown(rule, values) for rule, values in zip(plain, row, strict=True)})
    return by_rule


def _drawn(rule: Rule, rows: int) -> Column:
    share = _MARGIN * WANTED / rows
    return breaks(rule) if share >= 1 else (F.col(_DRAW) < share) & breaks(rule)


def _repeated(frame: DataFrame, rule: Rule) -> list[Any]:
    groups = frame.where(considered(rule)).groupBy(*rule.columns).agg(F.count(F.lit(1)).alias(_SIZE))
    members = F.array_repeat(F.struct(*rule.columns), F.col(_SIZE).cast("int"))
    repeated = groups.where(F.col(_SIZE) > 1).limit(WANTED).select(F.explode(members)).limit(WANTED).collect()
    return _shown(rule, [row[0] for row in repeated])


def _shown(rule: Rule, values: list[Any]) -> list[Any]:
    if "column" in rule.kwargs:
        return [value[0] for value in values]
    return [value.asDict() if "column_list" in rule.kwargs else tuple(value) for value in values]
