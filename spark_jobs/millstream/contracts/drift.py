"""Differences between a delivery and its contract, and what happens then.

    columns of the delivery ─▶ added, removed, renamed                          before anything is written
    values of the delivery  ─▶ retyped, widened, nullability, new_category      before anything is published

Which policy each kind of change can have is declared in `millstream.contracts.contract.Drift`.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from millstream.contracts.contract import Contract, DriftKind, DriftPolicy
from millstream.errors import SchemaDriftError, printable

log = logging.getLogger(__name__)

# For each kind of change: the words in messages, and the remedy when it stops the run.
_WORDS: dict[DriftKind, tuple[str, str]] = {
    "added": ("column added", "name it in the contract, or set drift.added to evolve"),
    "removed": (
        "column removed",
        "ask the source's owner; if it has another name now, add that to the column's aliases; if it is gone "
        "for good, publish a new version of the contract",
    ),
    "renamed": ("column renamed", "rename it in the contract, or set drift.renamed to evolve"),
    "retyped": ("column retyped", "ask the source's owner, or publish a new version of the contract"),
    "widened": (
        "column widened",
        "widen its type in the contract and the transform, or set drift.widened to evolve",
    ),
    "nullability": ("value missing", "ask the source's owner, or make the column nullable in the contract"),
    "new_category": ("new category", "add it to the column's categories in the contract"),
}


class Change(BaseModel):
    """One change at the source, as it is reported, and recorded with the published rows.

    `rows` is the number of rows with such a value; None for a change of columns.
    """

    model_config = ConfigDict(frozen=True)

    kind: DriftKind
    column: str
    policy: DriftPolicy
    detail: str = ""
    rows: int | None = None

    def __str__(self) -> str:
        change = f"{_WORDS[self.kind][0]} at the source: {self.column}"
        rows = f", {self.rows} rows" if self.rows is not None else ""
        # Names and values are the source's: a line end in them ends no line of a log.
        return printable(f"{change}{rows}{f' ({self.detail})' if self.detail else ''}")


def of_columns(
    contract: Contract, delivered: Sequence[str], lacking: Mapping[str, int] | None = None
) -> list[Change]:
    """How the `delivered` columns differ from the contract's.

    `lacking`: for optional columns that only some records have, the number of records without them.
    """
    layout = contract.layout(delivered)
    changes = []
    for column, name in zip(contract.column_names, layout.delivered, strict=True):
        if name is None:
            removed: DriftPolicy = "freeze" if column in layout.missing else "evolve"
            changes.append(Change(kind="removed", column=column, policy=removed))
            continue
        if name != column:
            detail = f"delivered as {name}"
            renamed = contract.drift.renamed
            changes.append(Change(kind="renamed", column=column, policy=renamed, detail=detail))
        if rows := (lacking or {}).get(column):
            detail = "not in every record"
            changes.append(Change(kind="removed", column=column, policy="evolve", detail=detail, rows=rows))
    return [
        *changes,
        *(Change(kind="added", column=name, policy=contract.drift.added) for name in layout.added),
    ]


def require_allowed(
    where: str, changes: Collection[Change], outcome: str, delivered: Sequence[str] = ()
) -> None:
    """Raise SchemaDriftError when the contract freezes one of the `changes`; the others are logged.

    `where` names what was read, `delivered` are its columns, `outcome` says what was not done.
    """
    for change in changes:
        log.warning("%s: %s: %s", where, change, change.policy)
    frozen = [change for change in changes if change.policy == "freeze"]
    if frozen:
        changed = "; ".join(str(change) for change in frozen)
        remedies = "; or ".join(dict.fromkeys(_WORDS[change.kind][1] for change in frozen))
        columns = f"; found {printable(', '.join(delivered))}" if delivered else ""
        raise SchemaDriftError(f"{where}: {changed}{columns}. {outcome}. What to do: {remedies}")
