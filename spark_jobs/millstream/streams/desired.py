"""Whether a stream is to run: one small file in the lake, which its process looks at. Imports no Spark."""

from __future__ import annotations

from typing import Literal, get_args

from millstream.errors import ConfigurationError
from millstream.lake.storage import Storage
from millstream.streams.snapshot import FOLDER

Desired = Literal["run", "drain"]


def write(lake_root: str, stream: str, desired: Desired) -> None:
    Storage(lake_root).write(_path(stream), desired.encode())


def read(lake_root: str, stream: str) -> Desired:
    """What somebody has asked for last; `run` where nobody has.

    Raises: ConfigurationError: the file has neither word.
    """
    storage, path = Storage(lake_root), _path(stream)
    text = storage.read(path).decode(errors="replace").strip() if storage.exists(path) else "run"
    for desired in get_args(Desired):
        if text == desired:
            return text  # type: ignore[return-value]
    raise ConfigurationError(f"{path} in {lake_root} says {text[:40]!r}, and has to say run or drain")


def _path(stream: str) -> str:
    return f"{FOLDER}/{stream}.desired"
