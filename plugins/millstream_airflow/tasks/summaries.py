"""A job's result as lines for the task's log; the result itself is in the XComs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from millstream.contracts.periods import following, grain_of
from millstream.quality.verdict import word

# At most so many lines, of this width.
MOST = 20
WIDTH = 200
# Logged elsewhere, or values from the data.
LEFT_OUT = frozenset({"examples", "rules", "parameters", "staged_uri", "staged_version", "docs_page"})
# Figures that are shown also when they are 0.
COUNTS = ("rows", "version")
ACCOUNT = ("written", "quarantined", "deduplicated", "dropped")


def summary(job: str, result: Mapping[str, Any], seconds: float) -> list[str]:
    """Duration, version, counts and verdict, then a line for each other figure of the result."""
    lines, rest = [f"{job}: done in {seconds:.1f} s"], {**result}
    if {"table", "version"} <= rest.keys():
        lines.append(_version(rest.pop("table"), rest.pop("version"), rest.pop("changed", True)))
    if {"read", *ACCOUNT} <= rest.keys():
        lines.append(_account(rest))
    if "passed" in rest:
        lines += _judged(rest)
    for name, value in rest.items():
        if name not in LEFT_OUT and value not in (None, "", [], (), {}) and (value or name in COUNTS):
            lines += _figure(name.replace("_", " "), value)
    return [line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}\u2026" for line in lines]


def _version(table: str, version: int, changed: bool) -> str:
    return f"{table}: " + (
        f"version {version}" if changed else f"stays at version {version}: it has these rows already"
    )


def _account(rest: dict[str, Any]) -> str:
    sums = " + ".join(f"{rest.pop(name):,} {name}" for name in ACCOUNT)
    if tombstones := rest.pop("tombstones", 0):
        sums += f" + {tombstones:,} marked as deleted"
    line = f"rows: {rest.pop('read'):,} read = {sums}"
    if accepted := rest.pop("accepted", 0):
        line += f"; {accepted:,} of the written were accepted by a person"
    if deleted := rest.pop("deleted", 0):
        line += f"; {deleted:,} left the table: deleted at the source"
    return line


def _judged(rest: dict[str, Any]) -> list[str]:
    beyond = [rule for rule in rest.get("rules", ()) if rule["action"] == "warn" and not rule["success"]]
    lines = [f"verdict: {word(rest.pop('passed'), len(beyond))}"]
    lines += [f"  warning: {rule['label']}: {rule.get('missing') or _share(rule)}" for rule in beyond]
    lines.append(f"rows: {rest.pop('evaluated'):,} judged, {rest.pop('quarantined_rows'):,} to quarantine")
    for name in ("reason", "run", "suite_version"):
        rest.pop(name, None)
    return lines


def _share(rule: Mapping[str, Any]) -> str:
    if rule["level"] == "table":
        return f"observed {rule['observed']}"
    return f"{rule['broken']:,} of {rule['considered']:,} rows break it"


def _figure(name: str, value: Any) -> list[str]:
    match value:
        case {"word": verdict}:
            return [f"verdict: {verdict}"]
        case dict() if name == "inputs":
            return [f"read: {', '.join(f'{table} version {version}' for table, version in value.items())}"]
        case dict():
            return [f"{name}: {', '.join(f'{key} {_shown(item)}' for key, item in value.items())}"]
        case list() | tuple() if all(isinstance(item, dict) for item in value):
            lines = [
                ", ".join(f"{key} {_shown(item)}" for key, item in each.items() if item) for each in value
            ]
            more = [f"  and {len(lines) - MOST} more"] if len(lines) > MOST else []
            return [f"{name}: {len(value)}", *(f"  {line}" for line in lines[:MOST]), *more]
        case list() | tuple() if name in ("partitions", "superseded"):
            periods = [str(item) for item in value]
            grain = grain_of(periods[0]) if periods and name == "partitions" else None
            return [f"{f'{grain}s' if grain else name}: {spans(periods)}"]
    return [f"{name}: {_shown(value)}"]


def _shown(value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.4g}"
        case list() | tuple():
            return ", ".join(map(_shown, value))
        case dict():
            return ", ".join(f"{key} {_shown(item)}" for key, item in value.items())
    return str(value)


def spans(periods: Sequence[str]) -> str:
    """Consecutive periods as ranges: `2013-01 to 2013-03, 2013-07`."""
    ordered = sorted(periods)
    starts = [
        0,
        *(at for at, (period, later) in enumerate(pairwise(ordered), 1) if not _follows(period, later)),
    ]
    runs = [ordered[start:end] for start, end in zip(starts, [*starts[1:], len(ordered)], strict=True)]
    return ", ".join(run[0] if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs if run)


def _follows(period: str, later: str) -> bool:
    return grain_of(period) is not None and following(period) == later
