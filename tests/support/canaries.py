"""The search for secrets in all that a stack leaves behind: files, packed or not, and process arguments."""

from __future__ import annotations

import gzip
import io
import sqlite3
import threading
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import pyarrow.parquet as pq
import zstandard

LOOK_EVERY_S = 0.5
SEEN_WITHIN_S = 30.0

# Where a text stands, and the text.
Text = tuple[str, bytes]


def found(texts: Iterable[Text], wanted: Mapping[str, str]) -> set[tuple[str, str]]:
    """Which of `wanted` (name -> text) stands where: pairs of name and place. A file's name counts too."""
    return {
        (name, where)
        for where, content in texts
        for name, text in wanted.items()
        if text.encode() in content or text in where
    }


def files(*roots: Path, without: Path | None = None) -> Iterator[Text]:
    """Every file at or below `roots`, as it is and, where it is packed, unpacked too."""
    for root in roots:
        for path in [root, *root.rglob("*")]:
            if path.is_file() and not (without and path.is_relative_to(without)):
                with suppress(FileNotFoundError):  # services remove their temporary files meanwhile
                    yield str(path), path.read_bytes() + unpacked(path)


def unpacked(path: Path) -> bytes:
    """What a file holds of which its bytes tell nothing; empty for a file that is not packed."""
    content = path.read_bytes()
    if content.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return b"\n".join(archive.read(name) for name in archive.namelist())
    if content.startswith(b"\x1f\x8b"):
        return gzip.decompress(content)
    if content.startswith(b"\x28\xb5\x2f\xfd"):
        # A log that is still being written ends in the middle of a frame.
        return zstandard.ZstdDecompressor().stream_reader(content, read_across_frames=True).read()
    if content.startswith(b"PAR1"):
        plain = io.BytesIO()
        pq.write_table(pq.read_table(io.BytesIO(content)), plain, compression="none", use_dictionary=False)
        return plain.getvalue()
    if content.startswith(b"SQLite format 3\x00"):
        return b"\n".join(_rows(path))
    return b""


def _rows(database: Path) -> Iterator[bytes]:
    """Every value of every table: a long one is cut into pages in the file."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=60)) as connection:
        connection.text_factory = bytes
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            for row in connection.execute(f'SELECT * FROM "{table.decode()}"'):
                yield b"\n".join(_plain(value) for value in row)


def _plain(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


class ArgumentWatch:
    """Notes the arguments of every process of the machine, inside the block."""

    def __init__(self) -> None:
        self._seen: dict[int, set[bytes]] = {}
        self._closed = threading.Event()
        self._looked = threading.Condition()
        self._thread = threading.Thread(target=self._look_on, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._thread.join()

    def _look_on(self) -> None:
        while not self._closed.wait(LOOK_EVERY_S):
            with self._looked:
                for process in psutil.process_iter(["cmdline"]):
                    arguments = "\0".join(process.info["cmdline"] or ()).encode()
                    self._seen.setdefault(process.pid, set()).add(arguments)
                self._looked.notify_all()

    def wait_for(self, pid: int) -> None:
        """Until this process has been looked at."""
        with self._looked:
            assert self._looked.wait_for(lambda: pid in self._seen, timeout=SEEN_WITHIN_S)

    def texts(self) -> list[Text]:
        with self._looked:
            return [("process arguments", text) for seen in self._seen.values() for text in sorted(seen)]
