"""The gate's verdict, as JSON that is stored with the data."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from millstream.lake.source_rows import place_of
from millstream.quality.suite import Level, Severity

Action = Literal["ok", "quarantine", "warn", "block"]
# The page of a run in Airflow's web UI, below its address.
RUN_PAGE = r"^dags/[A-Za-z0-9._~%-]+/runs/[A-Za-z0-9._~%-]+$"
# The word of a rule whose reference is not there yet.
UNCHECKED = "not checked"
Word = Literal["passed", "passed with warnings", "failed"]


class BrokenRow(BaseModel):
    """One row that broke a rule, shortened for display.

    `source_row_id` is the landed file and the row's number in it, `file#row`. `values` are those that the
    rule is about, as JSON, or the reasons why the row could not be read; `record` is the row as received.
    """

    model_config = ConfigDict(frozen=True)

    source_row_id: str | None
    values: str
    record: str | None = None

    @property
    def place(self) -> str:
        """The row's origin, in words."""
        if self.source_row_id is None:
            return "a row"
        file, row = place_of(self.source_row_id)
        return f"{file}, row {row}"


class RuleVerdict(BaseModel):
    """One rule: its result and the consequence.

    `share` is broken / considered rows (0 to 1). Up to `allowed` rows may break a row-level rule, as
    `allowed_by` says. `rows` are some of those that stopped a table. `observed` is a table-level rule's
    figure, or the error that kept the rule from being evaluated. `success` is Great Expectations' verdict.
    `missing` names in words the table that the rule needs and that does not exist yet: then the rule was not
    checked.
    """

    model_config = ConfigDict(frozen=True)

    index: int | None = None
    label: str
    expectation_type: str
    column: str | None = None
    severity: Severity
    level: Level
    success: bool
    broken: int = 0
    considered: int = 0
    share: float = 0.0
    mostly: float = 1.0
    allowed: int = 0
    allowed_by: str = ""
    rows: tuple[BrokenRow, ...] = ()
    observed: Any = None
    action: Action
    missing: str | None = None

    @property
    def word(self) -> str:
        """The consequence in words; a rule broken within its allowance is no warning."""
        if self.action != "warn":
            return {"ok": "ok", "quarantine": "to quarantine", "block": "failed"}[self.action]
        if self.missing:
            return UNCHECKED
        if self.level == "table":
            return "warning"
        return "within its allowance" if self.success else "warning: beyond its allowance"


class Verdict(BaseModel):
    """The gate's decision on one staged version of a table; `passed` allows publishing."""

    model_config = ConfigDict(frozen=True)

    table: str
    suite: str
    suite_version: str
    run: str
    staged_version: int | None
    evaluated: int
    quarantined_rows: int
    passed: bool
    reason: str
    rules: list[RuleVerdict]
    parameters: dict[str, str | int | float | bool] = {}
    docs_page: str | None = None
    run_page: str | None = None

    @property
    def word(self) -> Word:
        """The verdict in one of three words."""
        return word(self.passed, len(self.alerts))

    @property
    def broken_indexes(self) -> list[int]:
        """Rules of the suite with at least one broken row, for `predicates.split`."""
        return [rule.index for rule in self.rules if rule.index is not None and rule.broken > 0]

    @property
    def blocking(self) -> list[RuleVerdict]:
        return [rule for rule in self.rules if rule.action == "block"]

    @property
    def warnings(self) -> list[RuleVerdict]:
        return [rule for rule in self.rules if rule.action == "warn"]

    @property
    def alerts(self) -> list[RuleVerdict]:
        """Warnings that a person should look at: broken beyond what `mostly` allows, or not checked."""
        return [rule for rule in self.warnings if not rule.success]


def word(passed: bool, warnings: int) -> Word:
    """The word for a verdict with so many warnings beyond their allowance, or not checked."""
    if not passed:
        return "failed"
    return "passed with warnings" if warnings else "passed"


def page_name(table: str, run: str, staged_version: int | None) -> str:
    """The path of a validation's Data Docs page, relative to the site's root."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", run)
    return f"{table}/{safe}-v{'none' if staged_version is None else staged_version}.html"


def verdict_path(staged_uri: str, lake_root: str) -> str:
    """The path of a staged table's verdict, relative to the lake's root."""
    return f"{staged_uri.removeprefix(lake_root.rstrip('/') + '/')}__verdict.json"
