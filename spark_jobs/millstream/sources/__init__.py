"""Extractors, one module for each kind of source: what to fetch (`plan`), and fetching it (`fetch`).

An extractor takes a contract and a resolved connection: a folder, an HTTP endpoint with its authentication,
or a SQLAlchemy engine. It never sees Airflow. Both steps can be repeated: a retry asks for what is missing.
Each module names its classes as `EXTRACTOR` and `SLICE`.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from types import ModuleType
from typing import Any, Protocol

from pydantic import BaseModel

from millstream.landing.manifest import LandedFile
from millstream.landing.run import Landing
from millstream.sources.files import FilesExtractor, FileSlice, SourceFile
from millstream.sources.http import HttpExtractor, HttpSlice
from millstream.sources.http_client import HttpEndpoint, Patience
from millstream.sources.sql import SqlExtractor, SqlSlice


class Extractor(Protocol):
    """What each kind of source has."""

    def plan(self, partitions: Sequence[str], watermark: str | None = None) -> Sequence[BaseModel]:
        """The slices to fetch, of these months, or of what is new since the watermark."""
        ...

    def fetch(self, piece: Any, landing: Landing) -> list[LandedFile]:
        """Land one slice."""
        ...


class Counting(Extractor, Protocol):
    """An extractor that can count at the source."""

    def counting(self, watermark: str) -> AbstractContextManager[Any]:
        """Counts of what must have been read by a run that has come to `watermark`."""
        ...


def of_kind(kind: str) -> ModuleType:
    """The module of a kind of source."""
    return importlib.import_module(f"{__name__}.{kind}")


__all__ = [
    "Counting",
    "Extractor",
    "FileSlice",
    "FilesExtractor",
    "HttpEndpoint",
    "HttpExtractor",
    "HttpSlice",
    "Patience",
    "SourceFile",
    "SqlExtractor",
    "SqlSlice",
    "of_kind",
]
