"""Rules that look into another table, when that table does not exist yet.

Then no row has a match, which says nothing about the rows. So such a rule is reported as not checked, with
the ingest to run first, and not as broken by all rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from millstream.lake.tables import TableRef
from millstream.quality.verdict import RuleVerdict
from millstream.transforms import Reference


def absent(references: Mapping[str, Reference], inputs: Mapping[str, int]) -> dict[str, str]:
    """For each flag column of `references` whose table was not read, the reason in words; `inputs` are the
    tables that were read, with their versions."""
    tables = {flag: table for flag, (_, table, _) in references.items() if table not in inputs}
    return {flag: _unpublished(TableRef.parse(table)) for flag, table in tables.items()}


def _unpublished(table: TableRef) -> str:
    first = f"run ingest_{table.name} first" if table.zone == "silver" else "publish it first"
    return f"{table} has not been published yet: {first}, then this run again"


def not_checked(rule: RuleVerdict, columns: Sequence[str], absent: Mapping[str, str]) -> RuleVerdict:
    """`rule` as it is, unless it is about one of the `absent` flags: then a warning that says so.

    A critical rule stops the table, or sends the rows that break it to quarantine: nothing is published
    unchecked.
    """
    why = "; ".join(sorted({absent[name] for name in columns if name in absent}))
    if not why:
        return rule
    if rule.action in ("block", "quarantine"):
        return rule.model_copy(update={"missing": why})
    nothing = {"broken": 0, "considered": 0, "share": 0.0, "observed": None}
    action = "block" if rule.severity == "critical" else "warn"
    return rule.model_copy(update={**nothing, "success": False, "action": action, "missing": why})
