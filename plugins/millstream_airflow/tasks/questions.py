"""The question about quarantined rows as Markdown, and the answer as a line of text.

The rows come from a source that cannot be trusted. Each of their values is in a code span, in which Markdown
interprets no link, no HTML and no other markup.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

from millstream.lake.source_rows import place_of

KEEP, ACCEPT, DROP, WITHDRAW = "keep", "accept", "drop", "withdraw"
# What would end a code span, or a cell of a table, as a character that looks like it.
LOOKALIKES = {"`": "\u02cb", "|": "\u2502", "\n": "\u23ce"}
UNSHOWN = "\ufffd"

MEANING = {
    ACCEPT: "publishes them in spite of the rules that they broke",
    DROP: "publishes them nowhere, neither in the table nor in the quarantine",
    WITHDRAW: "takes these decisions back: today's rules judge the rows",
}


def options(action: str, selection: Mapping[str, Any]) -> list[str]:
    """The possible answers: only what can be done with all rows of the `selection`."""
    if action == WITHDRAW:
        return [KEEP, WITHDRAW]
    return [KEEP, *(() if selection["refusal"] else (ACCEPT,)), DROP]


def question(params: Mapping[str, Any], selection: Mapping[str, Any]) -> str:
    """The question of a run with `params`, about the `selection` that the task `find` returned."""
    return "\n".join(
        (
            *_answers(params, selection),
            "",
            *_reasons(selection),
            "",
            *_rows(selection),
            "",
            "All of them:",
            "",
            "```bash",
            f'make sql Q="{_query(params)}"',
            "```",
        )
    )


def answered(params: Mapping[str, Any], selection: Mapping[str, Any], answer: Mapping[str, Any]) -> str:
    """One line: who answered what, when, about how many rows, and why."""
    who = f"{answer['decided_by']} answered" if answer["decided_by"] else "nobody answered in time:"
    note = f"; note: {answer['note']}" if answer["note"] else ""
    return f"{who} {answer['action']}, {answer['decided_at']}: {selection['rows']} {_of(params)}{note}"


def _of(params: Mapping[str, Any]) -> str:
    if params["action"] == WITHDRAW:
        return f"rows of silver.{params['dataset']} that were accepted or dropped"
    return f"rows of silver.{params['dataset']}_quarantine"


def _answers(params: Mapping[str, Any], selection: Mapping[str, Any]) -> list[str]:
    withdraw = params["action"] == WITHDRAW
    table = f"silver.{params['dataset']}" + ("" if withdraw else "_quarantine")
    kept = "lets the decisions stand" if withdraw else "leaves them in quarantine"
    meaning = {KEEP: f"{kept}; so does no answer", **MEANING}
    lines = [
        f"{selection['rows']} rows of `{table}`{' that were accepted or dropped' if withdraw else ''}. "
        "The answer is about all of them:",
        "",
        *(f"- `{option}` {meaning[option]}." for option in options(params["action"], selection)),
    ]
    if selection["refusal"] and not withdraw:
        lines += ["", f"They cannot be accepted: {code(selection['refusal'])}"]
    return lines


def _reasons(selection: Mapping[str, Any]) -> list[str]:
    lines = ["The rules that they broke:", "", "| partition | rows | reason |", "|---|---|---|"]
    lines += [
        f"| {code(group['partition'])} | {group['rows']} | {code(group['reason'])} |"
        for group in selection["groups"]
    ]
    if selection["more_groups"]:
        lines += [
            "",
            f"Not shown: {selection['more_groups']} smaller groups. {selection['more_rows']} of the rows are "
            "in none of the groups above; the answer is about them too.",
        ]
    return lines


def _rows(selection: Mapping[str, Any]) -> list[str]:
    """The example rows of the selection, as a numbered list."""
    examples = selection["examples"]
    lines = [f"The rows, {len(examples)} of {selection['rows']}:", ""]
    # No table: the panel that shows it is narrow.
    for number, row in enumerate(examples, start=1):
        file, place = place_of(row["source_row_id"])
        parts = {
            "reasons": " ".join(map(code, row["reasons"])),
            "values": " ".join(code(f"{name}={value}") for name, value in row["values"].items()),
            "as received": code(row["record"] or ""),
            "from": f"{code(file)} row {code(place)}",
        }
        lines.append(f"{number}. {'; '.join(f'{title}: {text}' for title, text in parts.items() if text)}")
    return lines


def _query(params: Mapping[str, Any]) -> str:
    """A query for all the rows. The pattern of the param `reason` allows no quote, so it is safe in
    quotes."""
    withdraw = params["action"] == WITHDRAW
    reasons, partition = ("reasons", "partition") if withdraw else ("_reasons", "_partition")
    conditions = [f"table = 'silver.{params['dataset']}'"] if withdraw else []
    if params.get("reason"):
        conditions.append(f"exists({reasons}, one -> contains(one, '{params['reason']}'))")
    if params.get("partition"):
        conditions.append(f"{partition} = '{params['partition']}'")
    table = "ops.decisions" if withdraw else f"silver.{params['dataset']}_quarantine"
    return f"select * from {table}" + (f" where {' and '.join(conditions)}" if conditions else "")


def code(text: str) -> str:
    """`text` as a Markdown code span, also for use in a table: nothing in it is markup."""
    shown = "".join(LOOKALIKES.get(char) or (char if _is_shown(char) else UNSHOWN) for char in text)
    return f"`{shown}`" if shown.strip() else ""


def _is_shown(char: str) -> bool:
    """Control characters are not shown; some of them reverse the direction of text."""
    return unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
