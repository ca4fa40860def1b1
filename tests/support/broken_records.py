"""Broken records for each shipped dataset, as its source's format has them, and what must become of each.

What kinds there are follows from the contract (a wrong type in each column, each required value empty), from
the format, and from the suite: every critical rule about rows has a record that breaks it.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

from millstream.contracts.contract import Contract
from millstream.quality.suite import Rule, Suite

Record = dict[str, Any]
LONG = "X" * 140_000
DEEP = "[" * 2000 + "]" * 2000


class Case(NamedTuple):
    """One record as it stands in its file. Expected: the beginnings of its reasons in quarantine, none for a
    row that is published, None for what is no row; and what its source record is, or which values it has."""

    name: str
    content: Any
    reasons: tuple[str, ...] | None
    received: str | Record


class Source(NamedTuple):
    """How a dataset delivers records, and one of its real ones to break.

    `key` gives copy number n of that record a key that no other record has. `named` are silver columns that
    have another name at the source. `special` says for rules whose own value cannot simply be set what
    to change at the source, and the reason, where that makes the row unreadable before the rule sees it.
    """

    write: Callable[[Record], Any]
    example: Record
    key: Callable[[int], Record]
    named: dict[str, str]
    special: dict[str, tuple[Record, str | None]]
    typed: bool = False


def cases(contract: Contract, suite: Suite, source: Source) -> list[Case]:
    changed = [
        *_of_contract(contract, source),
        *_of_rules(contract, suite, source),
        ("a field of 140,000 characters", *_long(contract, suite)),
    ]
    different = {str(one[1:]): one for one in reversed(changed)}
    changed = list(reversed(different.values()))
    found = [
        Case(
            name, source.write(record := {**source.example, **source.key(number), **changes}), reasons, record
        )
        for number, (name, changes, reasons) in enumerate(changed)
    ]
    whole = {**source.example, **source.key(len(found))}
    return [*found, *_of_format(contract, source, whole)]


Changed = tuple[str, Record, tuple[str, ...]]


def _of_contract(contract: Contract, source: Source) -> Iterator[Changed]:
    for column in contract.columns:
        # A column of a table has a type, and its key is the one that rows are read by.
        if column.type != "string":
            reason = f"{column.name}: not of type {column.type}: first"
            yield f"{column.name} of a wrong type", {column.name: "first"}, (reason,)
        if not column.nullable and not (source.typed and column.name in contract.primary_key):
            yield f"{column.name} empty", {column.name: None}, (f"{column.name}: missing",)


def _of_rules(contract: Contract, suite: Suite, source: Source) -> Iterator[Changed]:
    required = {column.name for column in contract.columns if not column.nullable}
    for rule in suite.quarantining:
        if rule.checks_uniqueness:
            # A second row with a key is a duplicate, which is no broken row.
            continue
        if rule.reason in source.special:
            changes, reason = source.special[rule.reason]
            yield f"breaks: {rule.reason}", changes, (reason or rule.reason,)
            continue
        (silver,) = rule.columns
        name = source.named.get(silver, silver)
        for value in _breaking(rule):
            missing = value is None and name in required
            if missing and source.typed and name in contract.primary_key:
                # A table's key is the one that rows are read by: it is never null.
                continue
            yield (
                f"{value!r} breaks: {rule.reason}",
                {name: value},
                (f"{name}: missing" if missing else rule.reason,),
            )


def _breaking(rule: Rule) -> list[Any]:
    """Values that break the rule. Raises KeyError for a kind of rule that has none here yet."""
    given = rule.kwargs
    return {
        "expect_column_values_to_be_between": lambda: [given["min_value"] - 1, given["max_value"] + 1],
        "expect_column_values_to_be_in_set": lambda: ["nowhere"],
        "expect_column_values_to_match_regex": lambda: ["?!"],
        "expect_column_values_to_not_be_null": lambda: [None],
    }[rule.expectation_type]()


def _long(contract: Contract, suite: Suite) -> tuple[Record, tuple[str, ...]]:
    """In the last column of text that is no key; what a rule says of so long a text."""
    name = [column.name for column in contract.columns if column.type == "string"][-1]
    broken = [
        rule.reason
        for rule in suite.quarantining
        if rule.columns == [name] and rule.expectation_type.endswith(("match_regex", "in_set"))
    ]
    return {name: LONG}, tuple(broken)


def _of_format(contract: Contract, source: Source, whole: Record) -> Iterator[Case]:
    required = next(one.name for one in contract.columns if not one.nullable)
    lacking = {name: value for name, value in whole.items() if name != required}
    more = {**whole, "wings": 2}
    missing = f"record: field missing: {required}"
    match contract.source.format:
        case "csv.zip":
            yield from _of_csv(source, whole)
        case "jsonl.gz":
            yield from _of_json_lines(source, whole)
            yield Case("a field too few", source.write(lacking), (missing,), json.dumps(lacking))
            yield Case("a field too many", source.write(more), (), more)
        case "json":
            deep = json.dumps(whole).replace(json.dumps(whole[required]), DEEP, 1)
            yield Case("nested 2,000 deep", deep, ("record: nested deeper than 200 levels",), deep)
            yield Case("no object", "7", ("record: not a JSON object",), "7")
            yield Case("a field too few", source.write(lacking), (missing,), json.dumps(lacking))
            yield Case("a field too many", source.write(more), (), more)
        case "xml":
            few, twice = xml(lacking), xml(whole).replace("</airport>", "<alt>1</alt></airport>")
            yield Case("a field too few", few, (missing,), few)
            yield Case("a field twice", twice, ("record: a field comes twice",), twice)
            yield Case("a field too many", xml(more), (), more)


def _of_csv(source: Source, whole: Record) -> Iterator[Case]:
    line = source.write(whole)
    fields = line.count(b",") + 1
    has = f"fields where the header has {fields}"
    for name, content, reason in (
        ("a field too many", line + b",1", f"record: {fields + 1} {has}"),
        ("a field too few", line.rpartition(b",")[0], f"record: {fields - 1} {has}"),
        ("not UTF-8", line.replace(b"JFK", b"JF\xff"), "record: not UTF-8"),
        ("a quote not closed", b'"' + line, "record: not CSV: "),
    ):
        yield Case(name, content, (reason,), content.decode("utf-8", "backslashreplace"))
    yield Case("a blank line", b"", None, "")
    yield Case("a line of spaces", b"   ", None, "")


def _of_json_lines(source: Source, whole: Record) -> Iterator[Case]:
    line = source.write(whole)
    deep = line.replace(b'"kind": "module"', b'"kind": ' + DEEP.encode())
    for name, content, reason in (
        ("not UTF-8", line.replace(b"module", b"modul\xff"), "record: not JSON: "),
        ("a quote not closed", line.replace(b'"}', b"}"), "record: not JSON: "),
        ("nested 2,000 deep", deep, "record: nested deeper than 200 levels"),
    ):
        assert content != line, name
        yield Case(name, content, (reason,), content.decode("utf-8", "backslashreplace"))
    yield Case("a blank line", b"", None, "")


def csv_line(record: Record) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(["" if one is None else one for one in record.values()])
    return text.getvalue().encode()


def json_line(record: Record) -> bytes:
    return json.dumps(record).encode()


def xml(record: Record) -> str:
    fields = "".join(
        f"<{name}>{'' if value is None else escape(str(value))}</{name}>" for name, value in record.items()
    )
    return f"<airport>{fields}</airport>"


def mixed(good: list[Any], broken: list[Any]) -> tuple[list[Any], dict[int, int]]:
    """`broken` spread among `good`, and the 1-based place of each of them by its number."""
    step = max(1, len(good) // (len(broken) + 1))
    records: list[Any] = []
    places = {}
    for number, record in enumerate(good):
        if number % step == 0 and len(places) < len(broken):
            records.append(broken[len(places)])
            places[len(places)] = len(records)
        records.append(record)
    assert len(places) == len(broken)
    return records, places
