"""The pages of Data Docs in a lake, and the index of them, which is made when somebody asks for it.

Apart from what renders pages: that imports Great Expectations, and a web server should not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from millstream.lake.storage import File, Storage
from millstream.lake.tables import ZONES
from millstream.quality.verdict import word

DATA_DOCS = "data_docs"
# The index shows this many validations; older pages stay where they are.
INDEX_ENTRIES = 500
READERS = 16
# A trend shows so many, in a box of these units.
TREND_ENTRIES = 30
BOX = (120, 24)
PAGE = re.compile(rf"(?:{'|'.join(ZONES)})\.[a-z][a-z0-9_]*/[A-Za-z0-9_-][A-Za-z0-9._-]*\.html")


class Pages:
    """The Data Docs of one lake; remembers the entries of the index that it has read."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._read: dict[tuple[str, datetime], dict[str, Any]] = {}

    def page(self, name: str) -> bytes | None:
        """The page called `<zone>.<table>/<run>-v<version>.html`; None when there is none.

        Raises: ClusterError when the storage fails.
        """
        path = f"{DATA_DOCS}/{name}"
        if not PAGE.fullmatch(name) or ".." in name or not self._storage.exists(path):
            return None
        return self._storage.read(path)

    def index(self, table: str | None = None) -> str:
        """All pages, the newest first, or those of a table. Raises ClusterError when the storage fails."""
        files = [file for file in self._storage.files(DATA_DOCS) if file.path.endswith(".json")]
        files.sort(key=lambda file: file.modified, reverse=True)
        with ThreadPoolExecutor(READERS) as threads:
            entries = list(threads.map(self._entry, files[:INDEX_ENTRIES]))
        entries.sort(key=lambda entry: (entry["time"], entry["page"]), reverse=True)
        by_table: dict[str, list[dict[str, Any]]] = {}
        for entry in entries:
            by_table.setdefault(entry["table"], []).append(entry)
        environment = Environment(loader=templates(), autoescape=True)
        environment.filters["foldable"] = foldable
        return environment.get_template("index.j2").render(
            entries=entries if table is None else by_table.get(table, []),
            tables=[_Trend(name, own) for name, own in sorted(by_table.items())],
            chosen=table,
            verdict_word=word,
        )

    def _entry(self, file: File) -> dict[str, Any]:
        key = (file.path, file.modified)
        if key not in self._read:
            self._read[key] = json.loads(self._storage.read(file.path))
        return self._read[key]


def foldable(name: str) -> Markup:
    """A name that may be folded behind its dots and underscores, and nowhere else."""
    return Markup("<wbr>").join(part for part in re.split(r"(?<=[._/-])", name))


class _Trend:
    """What the newest validations of a table counted, oldest first: rows, and the share for quarantine."""

    def __init__(self, table: str, entries: Sequence[dict[str, Any]]) -> None:
        self.table = table
        self.newest = entries[0]
        self.validations = len(entries)
        shown = entries[:TREND_ENTRIES][::-1]
        self.rows = [int(entry["evaluated"]) for entry in shown]
        self.shares = [
            entry["quarantined_rows"] / entry["evaluated"] if entry["evaluated"] else 0.0 for entry in shown
        ]

    @property
    def rows_line(self) -> str:
        return _line(self.rows, max(self.rows))

    @property
    def shares_line(self) -> str:
        """Of the same height in every table up to a percent, so that a thousandth does not look like much."""
        return _line(self.shares, max(0.01, *self.shares))


def _line(values: Sequence[float], highest: float) -> str:
    """The points of an SVG polyline in a box of `BOX`."""
    width, height = BOX
    step = width / max(1, len(values) - 1)
    rise = height / (highest or 1)
    points = [(number * step, height - value * rise) for number, value in enumerate(values)]
    # One value is a level.
    points += [(width, points[0][1])] if len(points) == 1 else []
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def templates() -> PackageLoader:
    return PackageLoader("millstream.quality", "templates")
