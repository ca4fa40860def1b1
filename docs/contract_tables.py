"""The tables of formats and their options in docs/contracts.md, made from the code.

    python docs/contract_tables.py      # writes them into the page

`tests/docs/test_contracts.py` fails when the page says something else.
"""

from __future__ import annotations

from pathlib import Path

from pydantic.fields import FieldInfo

from millstream.formats.archives import PACKINGS
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


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "needed"
    match info.default:
        case None:
            return "none"
        case bool():
            return f"`{str(info.default).lower()}`"
        case str():
            return f"`{info.default}`"
        case other:
            return str(other)


TABLES = {"formats": formats, "options": options}


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
