"""Descriptions of the packages of a Debian machine, as records that others wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

STATUS = Path("/var/lib/dpkg/status")


def packages() -> Iterator[dict[str, str]]:
    """The fields of each installed package, by their names there; skips the test where there are none."""
    if not STATUS.is_file():
        pytest.skip(f"{STATUS} is not there: no Debian machine")
    for block in STATUS.read_text(encoding="utf-8").strip().split("\n\n"):
        fields: dict[str, str] = {}
        name = ""
        for line in block.split("\n"):
            if line.startswith(" "):
                fields[name] += f"\n{line[1:]}"
            else:
                name, _, value = line.partition(":")
                fields[name] = value.strip()
        yield fields


def write_packages(target: Path) -> int:
    """Write them as JSON lines, every field in every record; returns their number."""
    found = list(packages())
    names = list(dict.fromkeys(name for fields in found for name in fields))
    lines = (json.dumps({name: fields.get(name) for name in names}) for fields in found)
    target.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return len(found)
