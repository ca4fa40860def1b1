"""Cells of an .xlsx workbook that hold an error, such as #N/A.

calamine gives an empty cell for them (python-calamine 0.9.1), so that what went wrong would become a null.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from typing import IO

Place = tuple[int, int]
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_ERROR = re.compile(rb"""\st\s*=\s*["']e["']""")
# Longer than what `_ERROR` matches.
_OVERLAP = 64
_REFERENCE = re.compile(r"([A-Z]+)(\d+)")


def errors_in(stream: IO[bytes], sheet: str) -> dict[Place, str]:
    """For each such cell of a sheet, by row and column from 0 on, the error; none of other workbooks."""
    from defusedxml.ElementTree import fromstring, iterparse

    stream.seek(0)
    if not zipfile.is_zipfile(stream):
        return {}
    with zipfile.ZipFile(stream) as archive:
        if "xl/workbook.xml" not in archive.namelist():
            return {}
        sheets = {
            element.get("name"): element.get(_RELATION)
            for element in fromstring(archive.read("xl/workbook.xml")).iter()
            if element.tag.endswith("}sheet")
        }
        targets = {
            element.get("Id"): element.get("Target")
            for element in fromstring(archive.read("xl/_rels/workbook.xml.rels")).iter()
        }
        target = str(targets[sheets[sheet]])
        path = posixpath.normpath(posixpath.join("/xl", target)).lstrip("/")
        if not _has_error(archive, path):
            return {}
        found = {}
        with archive.open(path) as content:
            for _, element in iterparse(content):
                if element.tag.endswith("}c") and element.get("t") == "e":
                    # Beside the value there may be the formula.
                    found[_place(element.get("r"))] = str(element.findtext("{*}v"))
                if element.tag.endswith("}row"):
                    element.clear()
        return found


def _has_error(archive: zipfile.ZipFile, path: str) -> bool:
    with archive.open(path) as content:
        rest = b""
        while chunk := content.read(1 << 20):
            if _ERROR.search(rest + chunk):
                return True
            rest = chunk[-_OVERLAP:]
    return False


def _place(reference: str) -> Place:
    found = _REFERENCE.fullmatch(reference)
    assert found is not None
    column = 0
    for letter in found[1]:
        column = column * 26 + ord(letter) - ord("A") + 1
    return int(found[2]) - 1, column - 1
