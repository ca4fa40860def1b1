"""The quality gate: Great Expectations' verdict on a staged table, checked against the row split.

Great Expectations evaluates exactly the staged rows that publishing would take. Our own aggregation counts
first, so Great Expectations is asked for examples (one job a rule) only where rows are broken, and evaluates
each rule once. Both counts must agree on every rule, else the gate fails closed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from millstream.errors import GateInconsistencyError
from millstream.quality.predicates import (
    MALFORMED,
    REASONS,
    breaks,
    considered,
    repeats,
    require_columns,
    split,
)
from millstream.quality.suite import Rule, Suite
from millstream.quality.verdict import Action, RuleVerdict, Verdict

if TYPE_CHECKING:
    from millstream.quality.validation import Detail, Finding

DUPLICATE = "_duplicate"
READABLE = "every value can be read as its column's type"


@dataclass(frozen=True)
class Counts:
    """Rows of one frame: all, malformed, to be quarantined; per rule index broken and considered."""

    rows: int
    malformed: int
    quarantined: int
    broken: dict[int, int]
    considered: dict[int, int]


def publishable(staged: DataFrame) -> DataFrame:
    """The staged rows that publishing would take: all but the duplicates found by key."""
    if DUPLICATE not in staged.columns:
        return staged
    return staged.where(~F.col(DUPLICATE)).drop(DUPLICATE)


def run_gate(
    staged: DataFrame, suite: Suite, *, table: str, run: str, staged_version: int | None = None
) -> tuple[Verdict, list[Finding]]:
    """Decide whether `staged` may be published as `table`.

    Returns: the verdict, and Great Expectations' results for Data Docs.

    Raises:
        ContractError: the suite names a column that the staged table lacks.
        GateInconsistencyError: Great Expectations' counts differ from ours.
    """
    # Great Expectations takes seconds to import: only the process that validates pays for it.
    from millstream.quality.validation import validate

    frame = publishable(staged)
    require_columns(frame, suite.rules, suite.name)
    counts = count(frame, suite)
    findings = validate(frame, suite, {rule.index: _detail(rule, counts) for rule in suite.rules})
    rules = [_judge(rule, findings[rule.index], counts) for rule in suite.rules]
    if MALFORMED in frame.columns:
        rules.insert(0, _judge_malformed(counts, suite.meta.malformed_mostly))
    blocking = [rule for rule in rules if rule.action == "block"]
    verdict = Verdict(
        table=table,
        suite=suite.name,
        suite_version=suite.version,
        run=run,
        staged_version=staged_version,
        evaluated=counts.rows,
        quarantined_rows=0 if blocking else counts.quarantined,
        passed=not blocking,
        reason=_reason(rules, counts),
        rules=rules,
        parameters=suite.parameters,
    )
    return verdict, [findings[rule.index] for rule in suite.rules]


def count(frame: DataFrame, suite: Suite) -> Counts:
    """Count broken and considered rows of every splittable rule.

    One action over `frame`, one for each uniqueness rule, and one more only when a critical one of those is
    broken, to count the rows that leave. (One action for all by a cross join of their results sends
    Catalyst's constraint propagation out of memory on a suite of twenty rules, Spark 4.2.)
    """
    rules = [rule for rule in suite.rules if rule.splittable]
    plain = [rule for rule in rules if not rule.checks_uniqueness]
    malformed = F.size(F.col(MALFORMED)) > 0 if MALFORMED in frame.columns else F.lit(False)
    # An array, because a chain of ORs over twenty rules keeps Catalyst's boolean simplification busy for
    # minutes (Spark 4.2).
    broken_critical = [breaks(rule) for rule in plain if rule.severity == "critical"]
    leaving = F.array_contains(F.array(malformed, *broken_critical), True)
    sums = [F.count(F.lit(1)).alias("rows"), F.count_if(malformed).alias("malformed")]
    sums.append(F.count_if(leaving).alias("leaving"))
    for rule in plain:
        sums.append(F.count_if(breaks(rule)).alias(f"broken_{rule.index}"))
        sums.append(F.count_if(considered(rule)).alias(f"of_{rule.index}"))
    found = frame.agg(*sums).collect()[0].asDict()
    for rule in rules:
        if rule.checks_uniqueness:
            found[f"broken_{rule.index}"], found[f"of_{rule.index}"] = repeats(frame, rule)
    broken = {rule.index: found[f"broken_{rule.index}"] for rule in rules}
    repeated = any(rule.checks_uniqueness and broken[rule.index] for rule in suite.quarantining)
    return Counts(
        rows=found["rows"],
        malformed=found["malformed"],
        quarantined=_leaving(frame, suite, broken) if repeated else found["leaving"],
        broken=broken,
        considered={rule.index: found[f"of_{rule.index}"] for rule in rules},
    )


def _detail(rule: Rule, counts: Counts) -> Detail:
    if rule.splittable and counts.broken[rule.index] == 0:
        return "none_broken"
    # Twenty nulls are no examples.
    null_check = rule.expectation_type == "expect_column_values_to_not_be_null"
    return "counts" if null_check or rule.level == "table" else "examples"


def _leaving(frame: DataFrame, suite: Suite, broken: dict[int, int]) -> int:
    indexes = [index for index, rows in broken.items() if rows]
    return split(frame, suite, indexes).where(F.size(REASONS) > 0).count()


def _judge(rule: Rule, finding: Finding, counts: Counts) -> RuleVerdict:
    if rule.splittable:
        broken, of = counts.broken[rule.index], counts.considered[rule.index]
        _must_agree(rule, finding, broken, of)
    else:
        broken, of = finding.broken or 0, finding.considered or 0
    return RuleVerdict(
        index=rule.index,
        label=rule.label,
        expectation_type=rule.expectation_type,
        column=", ".join(rule.columns) or None,
        severity=rule.severity,
        level=rule.level,
        success=finding.success,
        broken=broken,
        considered=of,
        share=broken / of if of else 0.0,
        mostly=rule.mostly,
        observed=finding.error or finding.observed,
        action=_action(rule, finding, broken),
    )


def _action(rule: Rule, finding: Finding, broken: int) -> Action:
    if finding.error:
        # A rule that could not be evaluated gave no verdict, whatever its severity.
        return "block"
    if finding.success and not broken:
        return "ok"
    if rule.severity != "critical":
        return "warn"
    return "quarantine" if finding.success else "block"


def _must_agree(rule: Rule, finding: Finding, broken: int, of: int) -> None:
    if finding.error:
        return
    ours = within(broken, of, rule.mostly)
    if ours != finding.success or finding.broken not in (None, broken):
        theirs = "not counted" if finding.broken is None else f"{finding.broken} broken rows"
        raise GateInconsistencyError(
            f"{rule.label} ({rule.expectation_type}): Great Expectations says "
            f"{'passed' if finding.success else 'failed'}, {theirs}; the row split counts {broken} of {of}. "
            "Nothing was published. The staged table changed under the gate, or this expectation's predicate "
            "in millstream.quality.predicates is wrong for this data"
        )


def within(broken: int, of: int, mostly: float) -> bool:
    """Whether the good share reaches `mostly`; with nothing to consider it does, as in Great Expectations."""
    return of == 0 or (of - broken) / of >= mostly


def _judge_malformed(counts: Counts, mostly: float) -> RuleVerdict:
    success = within(counts.malformed, counts.rows, mostly)
    action: Action = "ok" if not counts.malformed else "quarantine" if success else "block"
    return RuleVerdict(
        label=READABLE,
        expectation_type="row_is_well_formed",
        column=MALFORMED,
        severity="critical",
        level="row",
        success=success,
        broken=counts.malformed,
        considered=counts.rows,
        share=counts.malformed / counts.rows if counts.rows else 0.0,
        mostly=mostly,
        action=action,
    )


def _reason(rules: list[RuleVerdict], counts: Counts) -> str:
    blocking = [rule for rule in rules if rule.action == "block"]
    if blocking:
        return "; ".join(describe(rule) for rule in blocking)
    warned = [rule for rule in rules if rule.action == "warn"]
    parts = [f"{len(rules)} rules on {counts.rows} rows"]
    if counts.quarantined:
        parts.append(f"{counts.quarantined} rows to quarantine")
    if warned:
        parts.append(f"warnings: {'; '.join(describe(rule) for rule in warned)}")
    return ", ".join(parts)


def describe(rule: RuleVerdict) -> str:
    """One rule's finding in words, for messages."""
    if rule.level == "row" and rule.considered:
        return (
            f"{rule.label}: {rule.broken} of {rule.considered} rows break it "
            f"({rule.share:.2%}, allowed {1 - rule.mostly:.2%})"
        )
    return rule.label if rule.observed is None else f"{rule.label}: observed {rule.observed}"
