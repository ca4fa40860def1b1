"""Types of names that come from people and XComs, and become a path in the lake or a part of a query.

A field of such a type takes nothing else, in whichever model it stands.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from millstream.contracts.periods import SHAPES, grain_of
from millstream.lake.tables import NAME, WHOLE, TableRef, is_run_key


def _run_key(run: str) -> str:
    if not is_run_key(run):
        raise ValueError(f"not a run key: {run!r}; see millstream.landing.manifest.run_key")
    return run


def _table(table: str) -> str:
    return str(TableRef.parse(table))


def _period(name: str) -> str:
    if name not in ("", WHOLE) and grain_of(name) is None:
        raise ValueError(f"not a period: {name!r}; expected {', '.join(SHAPES.values())}")
    return name


def _periods(names: tuple[str, ...]) -> tuple[str, ...]:
    if wrong := [name for name in names if name != WHOLE and grain_of(name) is None]:
        raise ValueError(f"not periods: {wrong}; expected {', '.join(SHAPES.values())}")
    return names


def _column(column: str) -> str:
    if not NAME.fullmatch(column):
        raise ValueError(f"not a column's name: {column!r}")
    return column


def _candidate(candidate: str) -> str:
    if not NAME.fullmatch(candidate):
        raise ValueError(f"not a candidate's name: {candidate!r}")
    return candidate


def _inputs(inputs: dict[str, int]) -> dict[str, int]:
    for name in inputs:
        kind, _, model = name.partition(".")
        if kind != "model" or not NAME.fullmatch(model):
            TableRef.parse(name)
    return inputs


RunKey = Annotated[str, AfterValidator(_run_key)]
# zone.name
TableName = Annotated[str, AfterValidator(_table)]
# a period as YYYY-MM, `all` for a table that is not cut, '' for none in particular
Partition = Annotated[str, AfterValidator(_period)]
Partitions = Annotated[tuple[str, ...], AfterValidator(_periods)]
ColumnName = Annotated[str, AfterValidator(_column)]
CandidateName = Annotated[str, AfterValidator(_candidate)]
# Tables, and models as `model.<name>`, with the version that was read.
Inputs = Annotated[dict[str, int], AfterValidator(_inputs)]
