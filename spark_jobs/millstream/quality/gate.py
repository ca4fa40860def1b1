"""The quality gate: Great Expectations' verdict on a staged table, from counts that are taken once.

It judges exactly the staged rows that publish would take. Rules judge readable rows; the number of
unreadable ones is a rule of its own. Our row predicates count, Great Expectations decides from the counts.
That both mean the same rows is proven by tests/support/gate_parity.py and, for the rows that leave, by
publish, which counts again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from millstream.errors import GateInconsistencyError
from millstream.quality.allowance import allowed_rows, lowered, percent, within
from millstream.quality.counting import Counts, count
from millstream.quality.examples import examples
from millstream.quality.predicates import MALFORMED, readable, require_columns, require_comparable
from millstream.quality.references import not_checked
from millstream.quality.suite import Rule, Suite
from millstream.quality.verdict import UNCHECKED, Action, RuleVerdict, Verdict

if TYPE_CHECKING:
    from millstream.quality.validation import Finding

# Rows that are not published whatever their values are.
NOT_JUDGED = ("_duplicate", "_deleted")
READABLE = "every value can be read as its column's type"


def publishable(staged: DataFrame) -> DataFrame:
    """The staged rows that publishing would take: all but the duplicates found by key, and those that say
    that the source has deleted them."""
    for name in NOT_JUDGED:
        if name in staged.columns:
            staged = staged.where(~F.col(name)).drop(name)
    return staged


def run_gate(
    staged: DataFrame,
    suite: Suite,
    *,
    table: str,
    run: str,
    staged_version: int | None = None,
    absent: Mapping[str, str] | None = None,
) -> tuple[Verdict, list[Finding]]:
    """Decide whether `staged` may be published as `table`.

    `absent` says for reference flags why they could not be looked up (`references.absent`).
    Returns: the verdict, and Great Expectations' results for Data Docs: of the rules that were checked.

    Raises:
        ContractError: the suite names a column that the staged table lacks or that has another type than the
            values it is compared with, or Great Expectations does not take one of its expectations.
        GateInconsistencyError: Great Expectations decides otherwise than the counts do.
    """
    # Great Expectations takes seconds to import: only the process that validates pays for it.
    from millstream.quality.validation import configured, decide

    frame = publishable(staged)
    require_columns(frame, suite.rules, suite.name)
    require_comparable(frame, suite.rules, suite.name)
    configurations = configured(suite)
    counts = count(frame, suite)
    rows = frame.where(readable(frame))
    findings = decide(rows, suite, configurations, counts, examples(rows, suite, counts.broken))
    rules = [
        not_checked(_judge(rule, suite, findings[rule.index], counts), rule.columns, absent or {})
        for rule in suite.rules
    ]
    checked = [
        findings[rule.index]
        for rule, judged in zip(suite.rules, rules, strict=True)
        if judged.word != UNCHECKED
    ]
    if MALFORMED in frame.columns:
        rules.insert(0, _judge_malformed(counts, suite))
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
    return verdict, checked


def _judge(rule: Rule, suite: Suite, finding: Finding, counts: Counts) -> RuleVerdict:
    if rule.splittable:
        broken, of = counts.broken[rule.index], counts.considered[rule.index]
        _must_agree(rule, finding, broken, of, suite.share_asked(rule, of))
    else:
        broken, of = finding.broken or 0, finding.considered or 0
    tolerated = suite.meta.tolerated_rows if rule.quarantines else 0
    allowed, allowed_by = _allowance(of, rule.mostly, "mostly", tolerated)
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
        allowed=allowed,
        allowed_by=allowed_by,
        observed=finding.error or finding.observed,
        action=_action(rule, finding, broken),
    )


def with_some_left(verdict: Verdict, replaced: int) -> Verdict:
    """The `verdict` when the rows replace `replaced` published ones: if they are fewer, they may not all go
    to quarantine, although each rule alone would allow it."""
    if not verdict.passed or not verdict.evaluated == verdict.quarantined_rows < replaced:
        return verdict
    rules = [_none_left(rule) if rule.action == "quarantine" else rule for rule in verdict.rules]
    reason = "; ".join(describe(rule) for rule in rules if rule.action == "block")
    return verdict.model_copy(
        update={"rules": rules, "passed": False, "quarantined_rows": 0, "reason": reason}
    )


def _none_left(rule: RuleVerdict) -> RuleVerdict:
    why = "together with the others no row would be left in place of more published ones"
    return rule.model_copy(update={"action": "block", "allowed": 0, "allowed_by": why})


def _allowance(of: int, mostly: float, name: str, tolerated: int) -> tuple[int, str]:
    """How many of `of` rows may break a rule, and which entry of the suite says so."""
    by_share = allowed_rows(of, mostly)
    if tolerated > by_share:
        return tolerated, f"tolerated_rows is {tolerated}"
    return by_share, f"{name} is {mostly:g}"


def _action(rule: Rule, finding: Finding, broken: int) -> Action:
    if finding.error:
        # A rule that could not be evaluated gave no verdict, whatever its severity.
        return "block"
    if finding.success and not broken:
        return "ok"
    if rule.severity != "critical":
        return "warn"
    return "quarantine" if finding.success else "block"


def _must_agree(rule: Rule, finding: Finding, broken: int, of: int, asked: float) -> None:
    if finding.error:
        return
    ours = within(broken, of, asked)
    if ours != finding.success or finding.broken not in (None, broken):
        theirs = "not counted" if finding.broken is None else f"{finding.broken} broken rows"
        raise GateInconsistencyError(
            f"{rule.label} ({rule.expectation_type}): Great Expectations says "
            f"{'passed' if finding.success else 'failed'}, {theirs}; the row predicates count {broken} of "
            f"{of}. Nothing was published. This expectation's predicate in millstream.quality.predicates is "
            "wrong for this data, or Great Expectations has changed what it decides from"
        )


def _judge_malformed(counts: Counts, suite: Suite) -> RuleVerdict:
    mostly, tolerated = suite.meta.malformed_mostly, suite.meta.tolerated_rows
    success = within(counts.malformed, counts.rows, lowered(mostly, counts.rows, tolerated))
    allowed, allowed_by = _allowance(counts.rows, mostly, "malformed_mostly", tolerated)
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
        allowed=allowed,
        allowed_by=allowed_by,
        action=action,
    )


def _reason(rules: list[RuleVerdict], counts: Counts) -> str:
    blocking = [rule for rule in rules if rule.action == "block"]
    if blocking:
        return "; ".join(describe(rule) for rule in blocking)
    beyond = [rule for rule in rules if rule.action == "warn" and not rule.missing and not rule.success]
    allowed = [rule for rule in rules if rule.action == "warn" and rule.success]
    missing = sorted({rule.missing for rule in rules if rule.action == "warn" and rule.missing})
    parts = [f"{len(rules)} rules on {counts.rows:,} rows"]
    if counts.quarantined:
        parts.append(f"{counts.quarantined:,} rows to quarantine")
    if beyond:
        parts.append(f"warnings: {'; '.join(describe(rule) for rule in beyond)}")
    if allowed:
        parts.append(f"within their allowance: {'; '.join(describe(rule) for rule in allowed)}")
    if missing:
        parts.append(f"not checked: {'; '.join(missing)}")
    return ", ".join(parts)


def describe(rule: RuleVerdict) -> str:
    """One rule's result in words, for messages."""
    if rule.missing and not rule.considered:
        return f"{rule.label}: not checked: {rule.missing}"
    if rule.level == "row" and rule.considered:
        return (
            f"{rule.label}: {rule.broken:,} of {rule.considered:,} rows break it ({percent(rule.share)}), "
            f"{rule.allowed:,} allowed because {rule.allowed_by}"
            + (f": {rule.missing}" if rule.missing else "")
        )
    return rule.label if rule.observed is None else f"{rule.label}: observed {rule.observed}"
