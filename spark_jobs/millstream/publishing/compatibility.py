"""Contracts against the ones that tables were published under: what breaks readers needs a higher version.

Each publish keeps its contract's schema in the table's history (`Contract.schema_in_short`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from millstream.contracts.contract import Contract
from millstream.contracts.types import is_wider
from millstream.errors import ContractError
from millstream.lake import history
from millstream.lake.inventory import tables
from millstream.lake.tables import TableRef
from millstream.models import model_spec, models

NOT_NULL = " not null"


class ContractChange(BaseModel):
    """One difference between two contracts, in words; `breaking` for those who read the table."""

    model_config = ConfigDict(frozen=True)

    text: str
    breaking: bool


class Comparison(BaseModel):
    """A contract against the one that its table was last published under."""

    model_config = ConfigDict(frozen=True)

    table: str
    version: int
    recorded_version: int | None
    changes: tuple[ContractChange, ...]

    @property
    def breaking(self) -> tuple[ContractChange, ...]:
        return tuple(change for change in self.changes if change.breaking)

    @property
    def needs_version(self) -> int | None:
        """The version that the contract must have and has not; None when it may be used as it is."""
        if self.breaking and self.recorded_version is not None and self.version <= self.recorded_version:
            return self.recorded_version + 1
        return None


def compare(contract: Contract, lake_root: str) -> Comparison:
    """`contract` against the newest one in its table's history; no changes where there is none."""
    table = TableRef(zone="silver", name=contract.dataset)
    standing = history.read(table, lake_root).standing
    recorded = next((account.contract for account in standing if account.contract), None)
    return Comparison(
        table=str(table),
        version=contract.version,
        recorded_version=recorded["version"] if recorded else None,
        changes=tuple(differences(recorded, contract.schema_in_short())) if recorded else (),
    )


def require_compatible(contract: Contract, lake_root: str) -> None:
    """Raise ContractError when `contract` breaks readers of its table and has no higher version."""
    comparison = compare(contract, lake_root)
    if comparison.needs_version is None:
        return
    breaking = "; ".join(change.text for change in comparison.breaking)
    raise ContractError(
        f"{contract.dataset}.yaml: version: the contract breaks what {comparison.table} was published under "
        f"as version {comparison.recorded_version}: {breaking}. It touches "
        f"{', '.join(touched(contract, lake_root))}. Nothing was written. What to do: take the change "
        f"back, or adapt these and set version to {comparison.needs_version}"
    )


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[ContractChange]:
    """What has changed from one contract's schema in short to another."""
    before, after = old["columns"], new["columns"]
    changes = [ContractChange(text=f"column {name} removed", breaking=True) for name in before.keys() - after]
    for name, kind in after.items():
        if name not in before:
            changes.append(ContractChange(text=f"column {name} added ({kind})", breaking=False))
        elif kind != before[name]:
            breaking = _breaks(before[name], kind)
            changes.append(ContractChange(text=f"column {name}: {before[name]} → {kind}", breaking=breaking))
    for part, words in (("primary_key", "primary key"), ("partition", "partition")):
        if old[part] != new[part]:
            changes.append(ContractChange(text=f"{words}: {old[part]} → {new[part]}", breaking=True))
    return sorted(changes, key=lambda change: (not change.breaking, change.text))


def touched(contract: Contract, lake_root: str) -> list[str]:
    """The dataset's own tables and suite, and what has been made from them: tables by the accounts in their
    histories, models by their declarations."""
    own = TableRef(zone="silver", name=contract.dataset)
    read_by = readers(str(own), lake_root)
    suites = [f"expectations/{name.partition('.')[2]}.json" for name in (str(own), *read_by)]
    return [
        str(own),
        str(own.quarantine),
        f"bronze.{own.name}",
        *read_by,
        *suites,
        *_models({str(own), *read_by}),
    ]


def readers(table: str, lake_root: str) -> list[str]:
    """The tables whose newest account names `table` among its inputs, and in turn those made from them."""
    newest = {
        str(other): next(iter(history.read(other, lake_root).accounts), None) for other in tables(lake_root)
    }
    reached: list[str] = []
    sources = [table]
    while sources:
        source = sources.pop()
        made = [name for name, entry in newest.items() if entry is not None and source in entry.inputs]
        new = [name for name in made if name not in reached and name != table]
        reached += new
        sources += new
    return sorted(reached)


def _models(read: set[str]) -> list[str]:
    specs = map(model_spec, models())
    return [f"model {spec.name}" for spec in specs if spec.input_table in read]


def _breaks(old: str, new: str) -> bool:
    old_type, new_type = old.removesuffix(NOT_NULL), new.removesuffix(NOT_NULL)
    if old_type != new_type and not is_wider(new_type, old_type):
        return True
    return NOT_NULL in new and NOT_NULL not in old
