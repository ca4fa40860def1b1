"""What a run does to the rows that a table has already, as a contract says it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from pydantic import Field, StringConstraints

from millstream.contracts.sources import Strict

if TYPE_CHECKING:
    from millstream.contracts.contract import Column, Contract

Load = Literal["full", "partition", "watermark", "append"]
# Loads of which a run brings some rows and leaves the others as they are.
INCREMENTS = frozenset({"watermark", "append"})
_NAME = "[a-z][a-z0-9_]{0,62}"
_LATEST = "latest by "
_SOFT = re.compile(rf"soft: ({_NAME}) = (.+)")
# Types whose order says which of two values is the later one.
_ORDERED = ("smallint", "int", "bigint", "decimal", "date", "timestamp", "timestamp_ntz")
_MOMENTS = ("date", "timestamp", "timestamp_ntz")
HISTORY_COLUMNS = frozenset({"valid_from", "valid_to", "is_current", "is_deleted"})
_MARKS = {
    "string": re.compile(r".+"),
    "boolean": re.compile(r"(?i)true|t|yes|y|1|false|f|no|n|0"),
    **dict.fromkeys(("smallint", "int", "bigint"), re.compile(r"[+-]?\d{1,18}")),
}


class SoftDelete(NamedTuple):
    """The column and the value, as text, by which the source marks a row that it has deleted."""

    column: str
    value: str


class Updates(Strict):
    """What a run does to the rows that the table has."""

    keep: Annotated[str, StringConstraints(pattern=rf"^(first|{_LATEST}{_NAME})$")] = Field(
        default="first",
        description="which of several rows of one key is published: the `first`, or `latest by` a column",
    )
    deletes: Annotated[str, StringConstraints(pattern=rf"^(ignore|compare_keys|{_SOFT.pattern})$")] = Field(
        default="ignore",
        description="rows that the source has deleted: `ignore` leaves them in the table; `compare_keys` "
        "reads all keys of the source and takes out what is gone; `soft: column = value` takes out rows that "
        "are marked so",
    )
    max_deleted_share: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="a run that would take out more of the table's rows, and more than one, is stopped",
    )
    history: Literal["scd2"] | None = Field(
        default=None,
        description="`scd2`: `<table>_history` has every version of each row, with `valid_from`, `valid_to` "
        "and `is_current`; what `keep` names is the moment",
    )

    @property
    def latest_by(self) -> str | None:
        """The column whose highest value says which of the rows of one key is kept; None: the first is."""
        return self.keep.removeprefix(_LATEST) if self.keep.startswith(_LATEST) else None

    @property
    def soft_delete(self) -> SoftDelete | None:
        found = _SOFT.fullmatch(self.deletes)
        return SoftDelete(found[1], found[2].strip()) if found else None

    @property
    def compares_keys(self) -> bool:
        return self.deletes == "compare_keys"


def check(contract: Contract) -> None:
    """Raises ValueError where the contract says what its columns or its source do not have."""
    if contract.load == "append":
        if not contract.source.by_file:
            raise ValueError(
                f"load: 'append' adds the rows of new files; a source of kind {contract.source.kind} has "
                "none: use 'watermark'"
            )
        if contract.deletes != "ignore" and contract.latest_by is None:
            raise ValueError(
                "deletes: with load 'append' the first row of a key stays; needs keep 'latest by'"
            )
    if contract.compares_keys and not (contract.source.can_count and contract.load == "watermark"):
        raise ValueError(
            "deletes: 'compare_keys' is for a table of a database with load 'watermark'; the other loads "
            "replace what is gone, or read no keys"
        )
    if contract.latest_by is not None:
        kind = _column(contract, "keep", contract.latest_by).type
        if kind.partition("(")[0] not in _ORDERED:
            raise ValueError(
                f"keep: a number, date or timestamp says which row is the latest; {contract.latest_by} is "
                f"{kind}"
            )
    if contract.history is not None:
        _check_history(contract)
    if (mark := contract.soft_delete) is not None:
        _check_mark(_column(contract, "deletes", mark.column), mark.value)


def _column(contract: Contract, field: str, name: str) -> Column:
    column = next((column for column in contract.columns if column.name == name), None)
    if column is None:
        raise ValueError(f"{field}: not among the columns: {name}")
    return column


def _check_history(contract: Contract) -> None:
    moment = _column(contract, "keep", contract.latest_by) if contract.latest_by else None
    if moment is None or moment.type not in _MOMENTS or moment.nullable:
        raise ValueError(
            "history: needs keep 'latest by' a date or timestamp with nullable: false, which says from when "
            "on a row is valid"
        )
    if contract.load not in INCREMENTS:
        raise ValueError("history: is of the rows that load 'watermark' or 'append' brings")
    if contract.compares_keys:
        raise ValueError("history: keys that are gone do not say when: use deletes 'soft: column = value'")
    if taken := sorted({column.table_name for column in contract.columns} & HISTORY_COLUMNS):
        raise ValueError(f"history: the table has {', '.join(taken)} already; rename it")


def _check_mark(column: Column, value: str) -> None:
    if (form := _MARKS.get(column.type)) is None:
        raise ValueError(
            f"deletes: a text, a boolean or a whole number marks deleted rows; {column.name} is {column.type}"
        )
    words = (*column.true_values, *column.false_values)
    if not (value in words if words else form.fullmatch(value)):
        raise ValueError(f"deletes: {value!r} is no value of {column.name}, which is {column.type}")
