"""A look at a source: its columns and some of its rows, read as the platform itself reads them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from millstream.contracts.contract import Contract
from millstream.errors import ConfigurationError, SourceDataError
from millstream.formats.record import MISSING, Columns, Rows, UnreadableError
from millstream.formats.registry import format_named, format_of, formats
from millstream_stack.commands.new.arrow_kinds import kinds_of
from millstream_stack.commands.new.options import NO_NAMES, options_of

SAMPLE_ROWS = 50_000
NO_TABLES = "Of files that are no tables, such as images, a contract says format: binary (docs/contracts.md)"
# Endings that say the same as a format's name.
ENDINGS = {"tsv": "csv", "tbl": "csv", "ndjson": "jsonl"}


@dataclass(frozen=True)
class Look:
    """What was seen: entries of the contract's `source`, names of the columns as the source spells them, rows
    of texts in their order, and whether these are all. `kinds` and `key` where the source itself knows them.
    `lacking`: whether records lack fields that others have.
    """

    source: dict[str, Any]
    names: list[str]
    rows: list[list[str | None]]
    complete: bool
    kinds: dict[str, str] = field(default_factory=dict)
    key: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    lacking: bool = False


def at_file(
    path: Path,
    folders: Mapping[str, Path],
    connection: str,
    limit: int | None = SAMPLE_ROWS,
    columns: Sequence[str] = (),
) -> Look:
    """A look at one file. `folders` are those of connections; one in none of them gets `connection`.
    `columns` are the names of a file that has no line with names.

    Raises: ConfigurationError when no format is known by the file's name, or its files always have names;
        SourceDataError when it cannot be read.
    """
    if not path.is_file():
        raise ConfigurationError(f"{path} is no file")
    known, folder = next(
        ((name, one) for name, one in folders.items() if path.resolve().is_relative_to(one.resolve())),
        (connection, path.resolve().parent),
    )
    kind = format_of_name(path.name)
    source: dict[str, Any] = {
        "kind": "files",
        "connection": known,
        "format": kind,
        "path": path.resolve().relative_to(folder.resolve()).as_posix(),
    }
    try:
        more, unsure = options_of(path, kind)
        source |= more
        if columns:
            _require_header(path, kind)
            source["header"], unsure = list(columns), [note for note in unsure if note != NO_NAMES]
        names = _names(path, source)
        rows = [row for row, _ in zip(_rows(path, source, names), range(_some(limit)), strict=False)]
    except (UnreadableError, OSError) as error:
        raise SourceDataError(f"{path} {error}") from error
    if not rows:
        raise SourceDataError(f"{path} has no record that can be read below {', '.join(names)[:200]}")
    notes = [*([] if known in folders else [to_define(known, of_folder(folder))]), *unsure]
    if any(re.fullmatch(r"[-+\d.]+", name) for name in names):
        notes.append("some names of columns are numbers: does the file begin with its names?")
    return Look(
        source,
        names,
        rows,
        len(rows) < _some(limit),
        kinds_of(path, kind),
        notes=tuple(notes),
        lacking=_lacks_fields(path, source, names, len(rows)),
    )


def _require_header(path: Path, kind: str) -> None:
    if "header" not in format_named(kind).options.model_fields:
        raise ConfigurationError(
            f"{path}: files of format {kind} name their columns themselves: leave out NAMES"
        )


def of_folder(folder: Path) -> str:
    """A connection that leads to a folder of this machine, as JSON."""
    return json.dumps({"conn_type": "fs", "extra": {"path": str(folder)}})


def to_define(name: str, described: str) -> str:
    """What a person has to do to have a connection."""
    return f"before make up: export AIRFLOW_CONN_{name.upper()}='{described}'"


def _some(limit: int | None) -> int:
    return 1 << 62 if limit is None else limit


def endings() -> dict[str, str]:
    """The endings of names by which formats are known, packed and plain, and the format of each."""
    known = {name: name for name in formats() if format_named(name).about is None}
    for ending, plain in ENDINGS.items():
        known |= {name.replace(plain, ending, 1): name for name in known if name.partition(".")[0] == plain}
    return known


def ending_of(name: str) -> str | None:
    """The ending of a file's name by which its format is known; None where none is."""
    fitting = [ending for ending in endings() if name.lower().endswith(f".{ending}")]
    return max(fitting, key=len) if fitting else None


def format_of_name(name: str) -> str:
    """The format that the file's name ends with, with its packing."""
    if (ending := ending_of(name)) is None:
        raise ConfigurationError(
            f"{name}: no format is known by this name; files are named by one of "
            f"{', '.join(sorted(endings()))}. {NO_TABLES}"
        )
    return endings()[ending]


def contract_of(source: Mapping[str, Any], names: list[str], **more: Any) -> Contract:
    """A contract that reads the columns `names` as text, whatever they are called."""
    columns: list[dict[str, Any]] = [
        {"name": f"look_{number}", "aliases": [name], "nullable": True}
        for number, name in enumerate(names or ["x"])
    ]
    data = {
        "dataset": "look",
        "source": dict(source),
        "primary_key": ["look_0"],
        "columns": columns,
        "drift": {"removed": "evolve"},
        "allow_empty": True,
        **more,
    }
    return Contract.from_dict(data, origin="look")


def _names(path: Path, source: Mapping[str, Any]) -> list[str]:
    contract = contract_of(source, [])
    with path.open("rb") as stream:
        names = format_of(contract).delivered(stream, contract).names
    if not names:
        raise SourceDataError(f"{path} has no record that can be read")
    return names


def _rows(path: Path, source: Mapping[str, Any], names: list[str]) -> Iterator[list[str | None]]:
    """The records that can be read, as texts. A value that is no text (bytes) makes no record unreadable."""
    contract = contract_of(source, names)
    with path.open("rb") as stream:
        for read in format_of(contract).rows(stream, contract, None):
            if isinstance(read, Columns):
                nothing: list[str | None] = [None] * read.rows
                columns = [nothing if one is None else one.to_pylist() for one in read.values]
                rows = zip(zip(*columns, strict=True), read.errors or nothing, strict=True)
                yield from (list(row) for row, error in rows if error is None or row.count(None) < len(row))
            elif read is not None and read.values is not None:
                yield read.values


def _lacks_fields(path: Path, source: Mapping[str, Any], names: list[str], rows: int) -> bool:
    """Whether one of the first `rows` records has not all the columns `names`."""
    contract = contract_of(source, names, drift={})
    with path.open("rb") as stream:
        errors = islice(_errors(format_of(contract).rows(stream, contract, None)), rows)
        return any(error.startswith(MISSING) for error in errors)


def _errors(read: Rows) -> Iterator[str]:
    """Of each record why it cannot be trusted; nothing for a good one."""
    for one in read:
        if isinstance(one, Columns):
            yield from (error or "" for error in one.errors or [None] * one.rows)
        elif one is not None:
            yield one.error or ""
