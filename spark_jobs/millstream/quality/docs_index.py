"""The pages of Data Docs in a lake, and the index of them, which is made when somebody asks for it.

Apart from what renders pages: that imports Great Expectations, and a web server should not.
"""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader

from millstream.lake.storage import File, Storage
from millstream.lake.tables import ZONES
from millstream.quality.verdict import word

DATA_DOCS = "data_docs"
# The index shows this many validations; older pages stay where they are.
INDEX_ENTRIES = 500
READERS = 16
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

    def index(self) -> str:
        """All pages, the newest first. Raises ClusterError when the storage fails."""
        files = [file for file in self._storage.files(DATA_DOCS) if file.path.endswith(".json")]
        files.sort(key=lambda file: file.modified, reverse=True)
        with ThreadPoolExecutor(READERS) as threads:
            entries = list(threads.map(self._entry, files[:INDEX_ENTRIES]))
        entries.sort(key=lambda entry: (entry["time"], entry["page"]), reverse=True)
        environment = Environment(loader=templates(), autoescape=True)
        return environment.get_template("index.j2").render(entries=entries, verdict_word=word)

    def _entry(self, file: File) -> dict[str, Any]:
        key = (file.path, file.modified)
        if key not in self._read:
            self._read[key] = json.loads(self._storage.read(file.path))
        return self._read[key]


def templates() -> PackageLoader:
    return PackageLoader("millstream.quality", "templates")
