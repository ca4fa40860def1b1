"""The suite that a table is judged by: its file in `expectations/`, and for a dataset what follows from its
contract, for a mart from its head. Nobody has to write the latter, and a file adds to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from millstream.contracts.contract import Contract, contract_file
from millstream.contracts.documents import read_json
from millstream.errors import ContractError
from millstream.marts import LEAST_ROWS, Mart, load_mart, marts
from millstream.transforms import Table, table_of

Expectation = dict[str, Any]
# A handful of broken rows goes to quarantine and stops no others.
MOSTLY = 0.99


def suite_in(root: Path, name: str) -> dict[str, Any]:
    """The suite of table `name`, in Great Expectations' JSON, as `root` declares it.

    Raises: ContractError when the file is none, or when there is neither file nor contract nor mart.
    """
    path = root / "expectations" / f"{name}.json"
    written: dict[str, Any] | None = None
    try:
        written = read_json(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise ContractError(f"{path.name}: cannot be read: {error.strerror}") from error
    contract = contract_file(root, name)
    if contract is not None:
        declared = Contract.load_file(contract)
        return suite_of(declared, table_of(name, declared), written)
    if name in marts(root):
        return suite_of_mart(load_mart(root, name), written)
    if written is None:
        raise ContractError(
            f"{path.name}: table {name} has no suite in expectations/: without one nothing is published"
        )
    return written


def suite_of(contract: Contract, table: Table, written: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The suite of a dataset, in Great Expectations' JSON: what its contract says, then what is `written`.

    A written expectation of the same type, columns and severity takes the place of the contract's. Columns
    that the `table` does not have are not judged; that values are of their types is judged before any rule,
    as `malformed_mostly` of the suite's `meta`.
    """
    meta: dict[str, Any] = {"table": f"silver.{table.name}"}
    if table.references:
        # So that rules about a flag can say what it stands for.
        meta["references"] = {flag: [own, other] for flag, (own, other, _) in table.references.items()}
    return _with(written, _rules(contract, table), table.name, meta)


def suite_of_mart(mart: Mart, written: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The suite of a mart, as `suite_of` makes a dataset's: it is not empty, and its key is unique.

    Of a mart by month `LEAST_ROWS` says what is empty: months that are made alone may have no rows any more.
    """
    meta: dict[str, Any] = {"table": str(mart.table)}
    if mart.head.chart:
        meta["chart"] = mart.head.chart.model_dump(exclude_none=True)
    least: Any = 1
    if mart.head.partition:
        least, meta["parameters"] = {"$PARAMETER": LEAST_ROWS}, {LEAST_ROWS: 1}
    own = [_not_empty(least), *([_unique(mart.head.key)] if mart.head.key else [])]
    return _with(written, own, mart.name, meta)


def _with(
    written: Mapping[str, Any] | None, own: Iterable[Expectation], name: str, meta: dict[str, Any]
) -> dict[str, Any]:
    given = dict(written or {})
    more = list(given.get("expectations", ()))
    kept = [rule for rule in own if _subject(rule) not in map(_subject, more)]
    given_meta = given.get("meta", {})
    more_meta = {**meta, **given_meta}
    if "parameters" in meta:
        more_meta["parameters"] = {**meta["parameters"], **given_meta.get("parameters", {})}
    return {**given, "name": given.get("name", name), "meta": more_meta, "expectations": [*kept, *more]}


def _rules(contract: Contract, table: Table) -> Iterator[Expectation]:
    # Of a stream's rows each is judged by itself, and one whose key is in the table already is not added.
    if contract.source.read_by_runs:
        # What compares keys has also runs that only take rows out.
        if not contract.allow_empty and not contract.compares_keys:
            yield _not_empty()
        yield _unique(table.key)
    present = set(table.schema.fieldNames())
    for column in contract.columns:
        name = column.table_name
        if name not in present:
            continue
        if not column.nullable:
            yield _rule("column_values_to_not_be_null", "critical", column=name, mostly=MOSTLY)
        if column.categories:
            known: dict[str, Any] = {"column": name, "value_set": list(column.categories)}
            if contract.drift.new_category == "evolve":
                yield _rule("column_values_to_be_in_set", "warning", **known)
            else:
                yield _rule("column_values_to_be_in_set", "critical", **known, mostly=MOSTLY)
    for flag, (own, other, key) in table.references.items():
        notes = f"{own} is a {key} of {other}."
        yield _rule("column_values_to_be_in_set", "warning", notes, column=flag, value_set=[True])


def _not_empty(least: Any = 1) -> Expectation:
    return _rule("table_row_count_to_be_between", "critical", "Not empty.", min_value=least)


def _unique(key: Sequence[str]) -> Expectation:
    if len(key) == 1:
        return _rule("column_values_to_be_unique", "critical", "Key.", column=key[0])
    return _rule("compound_columns_to_be_unique", "critical", "Key.", column_list=list(key))


def _rule(kind: str, severity: str, notes: str = "", **kwargs: Any) -> Expectation:
    optional = {"notes": notes} if notes else {}
    return {"type": f"expect_{kind}", "kwargs": kwargs, "severity": severity, **optional}


def _subject(rule: Mapping[str, Any]) -> tuple[str, str, tuple[str, ...]]:
    given = rule["kwargs"]
    columns = (given["column"],) if "column" in given else tuple(given.get("column_list", ()))
    return rule["type"], rule.get("severity", "critical"), columns
