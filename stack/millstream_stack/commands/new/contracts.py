"""A contract as a file for people: a line for each column, with comments where a look left doubts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from millstream.contracts.contract import Contract
from millstream.contracts.nested import nested
from millstream.errors import ConfigurationError
from millstream.formats.registry import format_named
from millstream_stack.commands.new.columns import Guess, guess, key_of, names_for
from millstream_stack.commands.new.looks import Look

DAG = """from millstream_airflow.pipelines.ingest import ingest_dag

dag = ingest_dag("{dataset}")
"""


def contract_text(dataset: str, look: Look, said: Sequence[str] = ()) -> str:
    """The contract of `dataset`, as `look` proposes it; it can be loaded as it is. Its key is `said`, or
    looked for.

    Raises: ConfigurationError when there is no such column as one that is `said`, or none can be a key.
    """
    guesses = _guesses(look)
    key, certain = (_said(said, guesses), True) if said else _key(look, guesses)
    if parted := [one.name for one in guesses if one.name in key and nested(one.kind)]:
        raise ConfigurationError(
            f"{_origin(look)}: a list or record identifies no row, and nothing else does: {', '.join(parted)}"
        )
    words = frozenset[str]().union(*(one.null_words for one in guesses))
    rows = f"{'all' if look.complete else 'the first'} {len(look.rows)} rows"
    lines = [
        f"# Proposed from {rows}: read and correct it.",
        f"description: {_flow(f'{dataset}, from {_origin(look)}.')}",
        f"source: {_flow(look.source)}",
    ]
    if look.source.get("watermark"):
        lines.append("load: watermark")
    doubt = "" if look.complete or said else "  # of the rows that were looked at"
    if not certain:
        doubt = "  # no key was seen: of rows that agree here only one is published"
    lines.append(f"primary_key: {_flow(list(key))}{doubt}")
    if words:
        lines.append("# Seen where all other values are numbers or times; they mean null in every column.")
        lines.append(f"null_values: {_flow(['', *sorted(words)])}")
    if look.lacking or any(one.optional for one in guesses):
        lines.append("drift: {removed: evolve}  # records lack fields now and then: they are null")
    lines += [f"# {note}" for note in look.notes]
    lines += ["columns:", *(_column(one) for one in guesses)]
    text = "\n".join(lines) + "\n"
    # What is written here must be what a DAG can load.
    Contract.from_dict(yaml.safe_load(text), origin=f"{dataset}.yaml", stem=dataset)
    return text


def _guesses(look: Look) -> list[Guess]:
    names = names_for(look.names)
    # A table of a database has JSON as text.
    nests = format_named(look.source["format"]).nests if "format" in look.source else False
    guesses = []
    for number, (source, name) in enumerate(zip(look.names, names, strict=True)):
        seen = guess(source, name, (row[number] for row in look.rows), nests)
        known = look.kinds.get(source)
        guesses.append(Guess(source, name, known) if known else seen)
    return guesses


def _said(said: Sequence[str], guesses: Sequence[Guess]) -> tuple[str, ...]:
    names = {one: guess.name for guess in guesses for one in (guess.name, guess.source)}
    if unknown := [one for one in said if one not in names]:
        raise ConfigurationError(
            f"KEY: there is no column {', '.join(unknown)}; there are {', '.join(names)}"
        )
    return tuple(names[one] for one in said)


def _key(look: Look, guesses: Sequence[Guess]) -> tuple[tuple[str, ...], bool]:
    if look.key:
        return tuple(one.name for one in guesses if one.source in look.key), True
    return key_of(guesses, look.rows)


def _origin(look: Look) -> str:
    return str(look.source.get("path") or look.source.get("table") or look.source.get("endpoint"))


def _column(one: Guess) -> str:
    entries: dict[str, Any] = {"name": one.name}
    if one.kind != "string":
        entries["type"] = one.kind
    entries |= one.written
    if one.source != one.name:
        entries["aliases"] = [one.source]
    comment = f"  # {one.unsure}" if one.unsure else ""
    return f"  - {_flow(entries)}{comment}"


def _flow(value: Any) -> str:
    """`value` as YAML in one line."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")
