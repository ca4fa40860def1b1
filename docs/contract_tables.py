"""The tables of types, formats and their options in docs/contracts.md, made from the code.

    python docs/contract_tables.py      # writes them into the page

`tests/docs/test_contracts.py` fails when the page says something else.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from millstream.contracts import sources
from millstream.contracts.partition import Partition
from millstream.contracts.types import KINDS
from millstream.contracts.updates import Updates
from millstream.contracts.written import Written
from millstream.formats.archives import PACKINGS
from millstream.formats.readers import binary
from millstream.formats.registry import plain_formats

PAGE = Path(__file__).parent / "contracts.md"


def formats() -> str:
    """A row a format."""
    lines = ["| `source.format` | records | read in pieces | packed |", "|---|---|---|---|"]
    for name, each in plain_formats().items():
        packed = ", ".join(f"`.{ending}`" for ending in PACKINGS) if each.packable else "no"
        lines.append(f"| `{name}` | {each.records} | {'yes' if each.has_pieces else 'no'} | {packed} |")
    return "\n".join(lines)


def options() -> str:
    """A row an option."""
    lines = ["| format | field of `source` | default | meaning |", "|---|---|---|---|"]
    lines += [
        f"| `{name}` | `{field}` | {_default(info)} | {info.description} |"
        for name, each in plain_formats().items()
        for field, info in each.options.model_fields.items()
    ]
    return "\n".join(lines)


def types() -> str:
    """A row a type."""
    lines = ["| type | what is read | for example | wider types |", "|---|---|---|---|"]
    for name, kind in KINDS.items():
        wider = ", ".join("`decimal`" if each == "decimal" else f"`{each}`" for each in kind.wider)
        lines.append(f"| `{name}` | {kind.reads} | {kind.example} | {wider} |")
    return "\n".join(lines)


def written() -> str:
    """A row a field of a column that says how its values are written."""
    lines = ["| field of a column | types | meaning |", "|---|---|---|"]
    for field, info in Written.model_fields.items():
        kinds = [f"`{name}`" for name, kind in KINDS.items() if field in kind.options]
        lines.append(f"| `{field}` | {', '.join(kinds) or 'all'} | {info.description} |")
    return "\n".join(lines)


def updates() -> str:
    """A row a field that says what a run does to the table's rows."""
    lines = ["| field | default | meaning |", "|---|---|---|"]
    lines += [
        f"| `{field}` | {_default(info)} | {info.description} |"
        for field, info in Updates.model_fields.items()
    ]
    return "\n".join(lines)


def partition() -> str:
    """A row a field of the section `partition`."""
    return _fields("partition", Partition)


def source(kind: str) -> str:
    """A row a field of a kind of source."""
    return _fields("source", sources.model_of(kind))


def _fields(section: str, model: type[BaseModel]) -> str:
    lines = [f"| field of `{section}` | default | meaning |", "|---|---|---|"]
    lines += [
        f"| `{field}` | {_default(info)} | {info.description} |"
        for field, info in model.model_fields.items()
        if info.description
    ]
    return "\n".join(lines)


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "needed"
    match info.default:
        case None | ():
            return "none"
        case bool():
            return f"`{str(info.default).lower()}`"
        case str():
            return f"`{info.default}`"
        case other:
            return str(other)


def about_files() -> str:
    """A row a column of files that are no tables."""
    lines = ["| column | type | meaning |", "|---|---|---|"]
    for column in binary.COLUMNS:
        meaning = ", in ".join(filter(None, (column["description"], column.get("unit"))))
        lines.append(f"| `{column['name']}` | `{column.get('type', 'string')}` | {meaning} |")
    return "\n".join(lines)


TABLES = {
    "types": types,
    "written": written,
    "formats": formats,
    "options": options,
    "about files": about_files,
    "partition": partition,
    "updates": updates,
    "http": partial(source, "http"),
    "sql": partial(source, "sql"),
}


def with_tables(page: str) -> str:
    """The page with each table between its two marks as it must be now."""
    for name, table in TABLES.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, rest = page.split(begin)
        _, after = rest.split(end)
        page = f"{before}{begin}{table()}\n{end}{after}"
    return page


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
