"""Whether a stream is to run: one small file in the lake, which its process looks at. Imports no Spark."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, get_args

from millstream.errors import ConfigurationError
from millstream.lake.storage import Storage
from millstream.streams.snapshot import FOLDER

# A stream parks itself, and says why in the lines below (`breaker`).
Desired = Literal["run", "drain", "park"]


def write(lake_root: str, stream: str, desired: Desired, reason: str = "") -> None:
    Storage(lake_root).write(_path(stream), f"{desired}\n{reason}".encode())


def read(lake_root: str, stream: str) -> Desired:
    """What somebody has asked for last; `run` where nobody has.

    Raises: ConfigurationError: the file has neither word.
    """
    text = _text(lake_root, stream).partition("\n")[0].strip()
    for desired in get_args(Desired):
        if text == desired:
            return text  # type: ignore[return-value]
    path = _path(stream)
    raise ConfigurationError(f"{path} in {lake_root} says {text[:40]!r}, and has to say run or drain")


def reason(lake_root: str, stream: str) -> str:
    """Why the stream is parked; empty where it is not."""
    return _text(lake_root, stream).partition("\n")[2].strip()


def since(lake_root: str, stream: str) -> datetime | None:
    """When somebody has asked for something last; None where nobody has."""
    for file in Storage(lake_root).files(_path(stream)):
        return file.modified
    return None


def _text(lake_root: str, stream: str) -> str:
    storage, path = Storage(lake_root), _path(stream)
    return storage.read(path).decode(errors="replace") if storage.exists(path) else "run"


def _path(stream: str) -> str:
    return f"{FOLDER}/{stream}.desired"
