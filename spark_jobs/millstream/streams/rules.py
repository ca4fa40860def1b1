"""The rules of a stream: each row is judged by itself, by the critical rules of its suite and its checks."""

from __future__ import annotations

from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from millstream.errors import ContractError
from millstream.lake import checks
from millstream.quality.predicates import REASONS, considered, readable, split
from millstream.quality.suite import Rule, Suite
from millstream.streams.tables import Stream

# Of the records that cannot be read, in accounts.
READABLE = "readable"


def require_row_rules(suite: Suite) -> None:
    """Raise ContractError when a critical rule is about more than one row: a stream would never judge it."""
    if beyond := [rule.label for rule in suite.rules if rule.severity == "critical" and not _of_a_row(rule)]:
        raise ContractError(
            f"suite {suite.name}: a stream judges each row by itself, and these critical rules are about "
            f"more than one: {'; '.join(beyond)}. What to do: take them out, or make them warnings, which a "
            "stream does not judge and says so"
        )


def not_judged(suite: Suite) -> list[str]:
    """The rules in words that a stream leaves out: those that are not critical."""
    return [rule.label for rule in suite.rules if rule.severity != "critical"]


def with_reasons(rows: DataFrame, stream: Stream) -> DataFrame:
    """The rows with `_reasons`: the critical rules of the suite and the checks of the table that each breaks.

    A row that breaks a check would else end the stream at each of its starts: the table refuses it.
    Raises: ContractError, TransformError: a rule or a check cannot be carried out.
    """
    require_row_rules(stream.suite)
    wanted = stream.defined.checks
    checks.require_readable(rows, wanted, stream.defined.file)
    among = readable(rows)
    broken = [
        F.when(among & checks.breaks(check), F.lit(_reason(name, check))) for name, check in wanted.items()
    ]
    judged = split(rows, stream.suite)
    if not broken:
        return judged
    return judged.withColumn(REASONS, F.concat(REASONS, F.array_compact(F.array(*broken))))


def verdict(judged: DataFrame, stream: Stream, broken: int) -> dict[str, Any]:
    """What an account says of the rules: of each that rows broke, their share of those that it is about.

    A stream commits the good rows whatever the share is. `broken` rows of `judged` have reasons.
    """
    left_out = not_judged(stream.suite)
    said = {"passed": True, "reason": "each row by itself", "suite": stream.suite.name}
    if left_out:
        said["not_judged"] = left_out
    return {**said, "warnings": _shares(judged, stream) if broken else []}


def required_shares(stream: Stream) -> dict[str, float]:
    """Of each rule, as accounts name it, the share of rows that must keep it: its `mostly`. A check of the
    table and the reading of a record have none of their own, but the suite's `malformed_mostly`."""
    others = (*(_reason(name, check) for name, check in stream.defined.checks.items()), READABLE)
    return {
        **dict.fromkeys(others, stream.suite.meta.malformed_mostly),
        **{rule.reason: rule.mostly for rule in stream.suite.quarantining},
    }


def _shares(judged: DataFrame, stream: Stream) -> list[dict[str, Any]]:
    rules, wanted = stream.suite.quarantining, stream.defined.checks
    among = readable(judged)
    about = [(rule.reason, rule.mostly, among & considered(rule)) for rule in rules]
    about += [(_reason(name, check), 1.0, among) for name, check in wanted.items()]
    about.append((READABLE, stream.suite.meta.malformed_mostly, F.lit(True)))
    counts = judged.agg(
        *(
            column
            for place, (label, _, of) in enumerate(about)
            for column in (
                F.count_if(of).alias(f"of_{place}"),
                F.count_if(_breaks(label, among)).alias(f"broken_{place}"),
            )
        )
    ).collect()[0]
    shares = []
    for place, (label, mostly, _) in enumerate(about):
        if broken := counts[f"broken_{place}"]:
            share = broken / counts[f"of_{place}"]
            shares.append({"label": label, "share": share, "broken": broken, "success": share <= 1 - mostly})
    return shares


def _breaks(label: str, among: Column) -> Column:
    return ~among if label == READABLE else among & F.array_contains(REASONS, label)


def _reason(name: str, check: str) -> str:
    return f"CHECK {name}: {' '.join(check.split())}"


def _of_a_row(rule: Rule) -> bool:
    return rule.level == "row" and not rule.checks_uniqueness
